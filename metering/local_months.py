"""Which local month an hour is of: the one place that says it, for usage, bills, quotas, free periods and archives.

Usage hours are UTC. Where the zone's offset is no whole number of hours (India, Nepal, Newfoundland, Lord Howe), a
local midnight falls into an hour, which is then of the day and month in which it begins. So a local day or month is
the hours that begin in it, and an instant is of its hour's.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from metering.clock import HOUR_S, hour_of, hour_start

# Bills of a month become final on this day of the following month, 00:00 local (RULES P11).
CLOSING_DAY: Final = 3


def months_after(anchor: date, months: int) -> date:
    """The same day `months` later, clipped to the month's end, always from the original anchor (X3)."""
    index = anchor.year * 12 + anchor.month - 1 + months
    year, month = divmod(index, 12)
    first_of_next = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    last_day = (first_of_next - timedelta(days=1)).day
    return date(year, month + 1, min(anchor.day, last_day))


def month_text(day: date) -> str:
    """The natural month of a local day, `YYYY-MM` (B22)."""
    return f"{day.year:04d}-{day.month:02d}"


class LocalMonths:
    """The months of a time zone."""

    def __init__(self, timezone: str) -> None:
        self.timezone = timezone
        self._zone = ZoneInfo(timezone)
        self.month_of_hour = lru_cache(maxsize=4096)(self._month_of_hour)

    def month_of(self, instant: float) -> str:
        """That of the hour which contains the instant."""
        return self.month_of_hour(hour_of(instant))

    def month_hours(self, month: str) -> tuple[int, int]:
        """The hours of `YYYY-MM`, half-open. Raises ValueError."""
        first = date.fromisoformat(f"{month}-01")
        return self.first_hour(first), self.first_hour(months_after(first, 1))

    def month_bounds(self, month: str) -> tuple[int, int]:
        """The first instants of its first hour, and of the next month's. Raises ValueError."""
        begins, ends = self.month_hours(month)
        return hour_start(begins), hour_start(ends)

    def month_closes_at(self, month: str) -> int:
        """When the bill of `YYYY-MM` becomes final (P11)."""
        following = months_after(date.fromisoformat(f"{month}-01"), 1)
        return self.midnight(following.replace(day=CLOSING_DAY))

    def first_hour(self, day: date) -> int:
        """The first hour that begins on the local day."""
        return -(-self.midnight(day) // HOUR_S)

    def midnight(self, day: date) -> int:
        """The instant at which the local day begins: the later one where a clock that is set back shows it twice, the
        end of the gap where one that is set forward never does."""
        return int(max(datetime.combine(day, time(fold=fold), self._zone).timestamp() for fold in (0, 1)))

    def local(self, instant: float) -> datetime:
        return datetime.fromtimestamp(instant, self._zone)

    def _month_of_hour(self, hour: int) -> str:
        first = self.local(hour_start(hour)).date().replace(day=1)
        # A clock that is set back at a month's first midnight shows the new month before it has begun for good.
        return month_text(first if hour >= self.first_hour(first) else months_after(first, -1))


@lru_cache(maxsize=16)
def local_months(timezone: str) -> LocalMonths:
    """That zone's, made once: it remembers hours. Raises where there is no such zone."""
    return LocalMonths(timezone)
