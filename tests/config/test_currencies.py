"""Money for people has its currency's own decimals (ISO 4217)."""

from __future__ import annotations

import pytest

from config.currencies import digits_of, require_payable, shown_amount
from config.money import E8


@pytest.mark.parametrize(
    "amount_e8, currency, text",
    [
        (673_881_836, "USD", "6.74"),
        (500_000, "USD", "0.01"),
        (499_999, "USD", "0.00"),
        (-500_000, "USD", "-0.01"),
        (-1, "USD", "0.00"),
        (0, "CNY", "0.00"),
        (149_999_999, "JPY", "1"),
        (150_000_000, "JPY", "2"),
        (-50_000_000, "JPY", "-1"),
        (-49_999_999, "JPY", "0"),
        (123_450_000, "KWD", "1.235"),
        (123_449_999, "KWD", "1.234"),
        (-49_999, "KWD", "0.000"),
        (-50_000, "KWD", "-0.001"),
        (12_345, "CLF", "0.0001"),
        (10**9 * E8, "JPY", "1000000000"),
    ],
)
def test_an_amount_is_rounded_half_up_to_the_currencys_decimals(amount_e8: int, currency: str, text: str) -> None:
    assert shown_amount(amount_e8, currency) == text


@pytest.mark.parametrize("currency, digits", [("USD", 2), ("CNY", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("BHD", 3)])
def test_what_can_be_paid_is_whole_smallest_units(currency: str, digits: int) -> None:
    assert digits_of(currency) == digits
    unit_e8 = E8 // 10**digits
    for amount_e8 in (0, unit_e8, 7 * unit_e8, 10**9 * E8):
        require_payable(amount_e8, currency)
    for amount_e8 in (1, unit_e8 - 1, unit_e8 + 1, unit_e8 // 2):
        with pytest.raises(ValueError, match=currency):
            require_payable(amount_e8, currency)
