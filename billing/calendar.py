"""Hours, local days and local months. Instants are whole epoch seconds; an hour is its number since the epoch.

Hours are UTC and half-open, `[H, H+1h)`. Only months, days and anniversaries know the zone (RULES C.2). In a zone
whose offset is not a whole number of hours, a local boundary falls to the hour that contains it.
"""

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
# Bills of a month become final on this day of the following month, 00:00 local (P11).
CLOSING_DAY: Final = 3


def hour_of(instant: int) -> int:
    """The hour that contains the instant."""
    return instant // HOUR_S


def hour_start(hour: int) -> int:
    return hour * HOUR_S


def next_full_hour(instant: int) -> int:
    """The number of the first hour that starts at or after the instant (P10)."""
    return -(-instant // HOUR_S)


def months_after(anchor: date, months: int) -> date:
    """The same day `months` later, clipped to the month's end, always from the original anchor (X3)."""
    index = anchor.year * 12 + anchor.month - 1 + months
    year, month = divmod(index, 12)
    first_of_next = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    last_day = (first_of_next - timedelta(days=1)).day
    return date(year, month + 1, min(anchor.day, last_day))


class LocalCalendar:
    """Turns instants into local months and days, and back."""

    def __init__(self, timezone: str) -> None:
        self.timezone = timezone
        self._zone = ZoneInfo(timezone)
        self.month_of_hour = lru_cache(maxsize=4096)(self._month_of_hour)

    def _month_of_hour(self, hour: int) -> str:
        return self.month_of(hour_start(hour))

    def local(self, instant: int) -> datetime:
        return datetime.fromtimestamp(instant, self._zone)

    def month_of(self, instant: int) -> str:
        """The natural month as `YYYY-MM` (B22)."""
        at = self.local(instant)
        return f"{at.year:04d}-{at.month:02d}"

    def day_of(self, instant: int) -> date:
        return self.local(instant).date()

    def midnight(self, day: date) -> int:
        """The instant at which the local day begins."""
        return self._instant(day, time.min)

    def next_midnight(self, instant: int) -> int:
        """The first local midnight after the instant."""
        return self.midnight(self.day_of(instant) + timedelta(days=1))

    def month_bounds(self, month: str) -> tuple[int, int]:
        """The first instants of `YYYY-MM` and of the month after it. Raises ValueError."""
        first = date.fromisoformat(f"{month}-01")
        return self.midnight(first), self.midnight(months_after(first, 1))

    def month_closes_at(self, month: str) -> int:
        """When the bill of `YYYY-MM` becomes final (P11)."""
        following = months_after(date.fromisoformat(f"{month}-01"), 1)
        return self.midnight(following.replace(day=CLOSING_DAY))

    def plus_months(self, instant: int, months: int) -> int:
        """`months` later at the same local time of day, day clipped as in X3 (X31)."""
        at = self.local(instant)
        return self._instant(months_after(at.date(), months), at.time())

    def _instant(self, day: date, at: time) -> int:
        return int(datetime.combine(day, at, self._zone).timestamp())
