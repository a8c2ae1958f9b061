"""How much comes back, and to which bucket (B38, B43-B45, X20, X21, P7, P8)."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from billing.calendar import DAY_S, LocalCalendar
from billing.rounding import R

FIVE_DAYS: Final = timedelta(days=5)


def within_five_days(bought_at: int, now: int, calendar: LocalCalendar) -> bool:
    """Local dates, the day of purchase not counted, the fifth day included (B43, X20)."""
    return calendar.day_of(now) <= calendar.day_of(bought_at) + FIVE_DAYS


def consumed_e8(list_e8: int, began_at: int, ends_at: int, now: int) -> int:
    """The used part of a paid term: started periods of 24 h, of the whole term (X21, P8)."""
    days_used = -(-(now - began_at) // DAY_S)
    used_s = min(days_used * DAY_S, ends_at - began_at)
    return R(used_s, list_e8, ends_at - began_at)


def pro_rata_e8(list_e8: int, paid_e8: int, began_at: int, ends_at: int, now: int) -> int:
    """What is left of the payment (vouchers not counted as paid) after the used part. Never negative (B44)."""
    return max(0, paid_e8 - consumed_e8(list_e8, began_at, ends_at, now))


def shares(amount_e8: int, paid_e8: Mapping[str, int], order: Sequence[str]) -> dict[str, int]:
    """Split an amount in proportion to what each bucket paid; the last that paid gets the remainder (P7).

    The shares add up to the amount, none is negative, and none is more than its bucket paid
    as long as the amount is not more than all of them paid.
    """
    payers = [bucket for bucket in order if paid_e8[bucket]]
    whole_e8 = sum(paid_e8[bucket] for bucket in payers)
    split = dict.fromkeys(order, 0)
    if not payers:
        assert amount_e8 == 0
        return split
    for bucket in payers[:-1]:
        split[bucket] = R(amount_e8, paid_e8[bucket], whole_e8)
    split[payers[-1]] = amount_e8 - sum(split.values())
    assert all(share >= 0 for share in split.values())
    return split
