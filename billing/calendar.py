"""Hours, local days and local months. Instants are whole epoch seconds; an hour is its number since the epoch.

Hours are UTC and half-open, `[H, H+1h)`. Only months, days and anniversaries know the zone (RULES C.2). Which month an
hour is of is said in `metering/local_months.py`, for everybody.
"""

from datetime import date, datetime, time, timedelta
from typing import Final

from metering.local_months import LocalMonths, months_after

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
DEFAULT_TIMEZONE: Final = "Asia/Shanghai"


def hour_of(instant: int) -> int:
    """The hour that contains the instant."""
    return instant // HOUR_S


def hour_start(hour: int) -> int:
    return hour * HOUR_S


def next_full_hour(instant: int) -> int:
    """The number of the first hour that starts at or after the instant (P10)."""
    return -(-instant // HOUR_S)


class LocalCalendar(LocalMonths):
    """Turns instants into local days as well, and back."""

    def day_of(self, instant: int) -> date:
        return self.local(instant).date()

    def next_midnight(self, instant: int) -> int:
        """The first local midnight after the instant."""
        return self.midnight(self.day_of(instant) + timedelta(days=1))

    def plus_months(self, instant: int, months: int) -> int:
        """`months` later at the same local time of day, day clipped as in X3 (X31)."""
        at = self.local(instant)
        return self._instant(months_after(at.date(), months), at.time())

    def _instant(self, day: date, at: time) -> int:
        return int(datetime.combine(day, at, self._zone).timestamp())
