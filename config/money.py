"""The one door between text and money: amounts are integers of 10**-8 of a currency inside (`e8`)."""

import re
from typing import Final

from config.errors import shown

E8: Final = 10**8
DIGITS_MAX: Final = 10  # before the point: an amount in e8 stays within 64 bits
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


def format_e8(amount_e8: int) -> str:
    """1_234_000_000 to `"12.34000000"`."""
    whole, part = divmod(abs(amount_e8), E8)
    return f"{'-' if amount_e8 < 0 else ''}{whole}.{part:08d}"
