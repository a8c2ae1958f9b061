"""How many decimals a currency has (ISO 4217), where money meets people: what is paid in, and what is shown.

Inside, every amount is exact to 10**-8 of a unit, whatever the currency.
"""

from __future__ import annotations

from typing import Final

from config.money import DECIMALS, E8

# ISO 4217 list one, the minor units that are not 2.
_DIGITS: Final = {
    **dict.fromkeys(
        (
            *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV"),
            *("XAF", "XOF", "XPF"),
        ),
        0,
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}


def digits_of(currency: str) -> int:
    return _DIGITS.get(currency, 2)


def shown_amount(amount_e8: int, currency: str) -> str:
    """For people: rounded half up to the currency's own decimals (X28). Zero has no sign."""
    digits = digits_of(currency)
    unit_e8 = 10 ** (DECIMALS - digits)
    whole, part = divmod((2 * abs(amount_e8) + unit_e8) // (2 * unit_e8), 10**digits)
    sign = "-" if amount_e8 < 0 and (whole or part) else ""
    return f"{sign}{whole}.{part:0{digits}d}" if digits else f"{sign}{whole}"


def require_payable(amount_e8: int, currency: str) -> None:
    """Nobody can pay less than the currency's smallest unit. Raises ValueError."""
    digits = digits_of(currency)
    if amount_e8 % (E8 // 10**digits):
        raise ValueError(f"{currency} has {digits or 'no'} decimals: finer amounts cannot be paid in")
