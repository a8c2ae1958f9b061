"""Local days, months and free periods, said once more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone

from tests.billing.model import HOUR

DAY = 24 * HOUR
SHANGHAI = timezone(timedelta(hours=8))


def local(instant: int) -> datetime:
    return datetime.fromtimestamp(instant, SHANGHAI)


def midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=SHANGHAI).timestamp())


def months_later(start: datetime, months: int) -> datetime:
    """The same day and time, or the last day that month has (X3)."""
    index = start.year * 12 + start.month - 1 + months
    for day in range(start.day, 27, -1):
        try:
            return start.replace(year=index // 12, month=index % 12 + 1, day=day)
        except ValueError:
            continue
    return start.replace(year=index // 12, month=index % 12 + 1)


def free_periods(activated: int) -> Iterator[tuple[int, int]]:
    """The hours of the twelve grants (B18)."""
    day = local(activated)
    for k in range(12):
        begins = activated if k == 0 else midnight(months_later(day, k).date())
        ends = midnight(months_later(day, k + 1).date())
        yield begins // HOUR, (ends + DAY if k == 11 else ends) // HOUR
