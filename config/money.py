"""The one door between text and money: amounts are integers of 10**-8 of a currency inside (`e8`)."""

import re
from typing import Final

from config.errors import shown

DECIMALS: Final = 8
E8: Final = 10**DECIMALS
DIGITS_MAX: Final = 10  # before the point: an amount in e8 stays within 64 bits
# A billion: of one amount that is handed in. Sums of such have bounds of their own (billing/bounds.py).
AMOUNT_MAX_E8: Final = 10**9 * E8
# A thousand, for 10,000 calls, a GB or a second: what an hour can come to is then no more than a ledger carries.
PRICE_MAX_E8: Final = 1000 * E8
_MONEY = re.compile(rf"([0-9]{{1,{DIGITS_MAX}}})(?:\.([0-9]{{1,8}}))?")


def parse_e8(text: str, *, signed: bool = False) -> int:
    """`"12.34"` to 1_234_000_000. Raises ValueError for anything but a plain decimal string."""
    if not isinstance(text, str):
        raise ValueError('money is a quoted decimal string, as "12.34"')
    sign = -1 if signed and text.startswith("-") else 1
    match = _MONEY.fullmatch(text[1:] if sign < 0 else text)
    if match is None:
        raise ValueError(f"{shown(text)} is no amount: digits, at most 8 of them behind a point")
    return sign * (int(match[1]) * E8 + int((match[2] or "").ljust(8, "0")))


def parse_amount_e8(text: str) -> int:
    """As `parse_e8`, of an amount that is handed in. Raises ValueError above AMOUNT_MAX_E8."""
    return _bounded(text, AMOUNT_MAX_E8)


def parse_price_e8(text: str) -> int:
    """As `parse_e8`, of the price of a unit. Raises ValueError above PRICE_MAX_E8."""
    return _bounded(text, PRICE_MAX_E8)


def _bounded(text: str, most_e8: int) -> int:
    amount_e8 = parse_e8(text)
    if amount_e8 > most_e8:
        raise ValueError(f"has to be {most_e8 // E8:,} at most")
    return amount_e8


def read_e8(text: str) -> int:
    """What `format_e8` wrote, however large it is."""
    whole, _, part = text.removeprefix("-").partition(".")
    amount_e8 = int(whole) * E8 + int(part)
    return -amount_e8 if text.startswith("-") else amount_e8


def format_e8(amount_e8: int) -> str:
    """1_234_000_000 to `"12.34000000"`."""
    whole, part = divmod(abs(amount_e8), E8)
    return f"{'-' if amount_e8 < 0 else ''}{whole}.{part:08d}"
