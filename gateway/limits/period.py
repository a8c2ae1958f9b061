"""Days and months of a quota, by the node's clock in the billing time zone."""

from __future__ import annotations

from datetime import date, timedelta

from metering.local_months import LocalMonths, local_months


class Period:
    """One day or month. ``number`` grows by one from each to the next; half-open, in epoch seconds."""

    __slots__ = ("begin_s", "end_s", "number")

    def __init__(self, number: int, begin_s: float, end_s: float) -> None:
        self.number = number
        self.begin_s = begin_s
        self.end_s = end_s


def period_at(epoch_s: float, per: str, timezone: str) -> Period:
    """The day or month (``per``) that an instant lies in. A day of a clock change has 23 or 25 hours.

    A month is the bill's, of whole hours: what its usage adds up to. A day goes from midnight to midnight.
    """
    months = local_months(timezone)
    return _month_at(epoch_s, months) if per == "month" else _day_at(epoch_s, months)


def _month_at(epoch_s: float, months: LocalMonths) -> Period:
    month = months.month_of(epoch_s)
    begin_s, end_s = months.month_bounds(month)
    year, _, number = month.partition("-")
    return Period(int(year) * 12 + int(number), begin_s, end_s)


def _day_at(epoch_s: float, months: LocalMonths) -> Period:
    today: date = months.local(epoch_s).date()
    if epoch_s < months.midnight(today):
        # A clock that is set back at midnight shows the new day before it has begun for good.
        today -= timedelta(days=1)
    return Period(today.toordinal(), months.midnight(today), months.midnight(today + timedelta(days=1)))
