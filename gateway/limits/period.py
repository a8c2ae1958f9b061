"""Days and months of a quota, by the node's clock in the billing time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


class Period:
    """One day or month. ``number`` grows by one from each to the next; half-open, in epoch seconds."""

    __slots__ = ("begin_s", "end_s", "number")

    def __init__(self, number: int, begin_s: float, end_s: float) -> None:
        self.number = number
        self.begin_s = begin_s
        self.end_s = end_s


def period_at(epoch_s: float, per: str, timezone: ZoneInfo) -> Period:
    """The day or month (``per``) that an instant lies in. A day of a clock change has 23 or 25 hours."""
    today = datetime.fromtimestamp(epoch_s, UTC).astimezone(timezone).date()
    if per == "day":
        return Period(today.toordinal(), _start(today, timezone), _start(today + timedelta(days=1), timezone))
    first = today.replace(day=1)
    next_first = (first + timedelta(days=31)).replace(day=1)
    return Period(today.year * 12 + today.month, _start(first, timezone), _start(next_first, timezone))


def _start(day: date, timezone: ZoneInfo) -> float:
    return datetime.combine(day, time(), timezone).timestamp()
