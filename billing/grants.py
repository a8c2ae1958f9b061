"""The free quota of the first year: twelve packs for each meter, given by themselves (B14-B18)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Final

from billing.calendar import LocalCalendar, hour_of
from metering.local_months import months_after

PERIODS: Final = 12  # B15
# Units of one grant, by meter (B14).
GRANT_UNITS: Final = {"calls": 1_000_000, "egress": 2**30}


@dataclass(frozen=True, slots=True)
class GrantPeriod:
    """One of the twelve non-natural months, in hours, half-open. `number` counts from 1 (P3)."""

    number: int
    from_hour: int
    to_hour: int


@lru_cache(maxsize=1024)
def grant_periods(activated_at: int, calendar: LocalCalendar) -> tuple[GrantPeriod, ...]:
    """The twelve periods of an account. D_k is the activation's local date plus k months (B18).

    The first begins in the hour of activation (G10), the others with D_k's first hour; the last ends one day
    later than a thirteenth would begin, at 24:00 of D_12 (X2).
    """
    return tuple(_periods(activated_at, calendar))


def _periods(activated_at: int, calendar: LocalCalendar) -> Iterator[GrantPeriod]:
    anchor = calendar.day_of(activated_at)
    for k in range(PERIODS):
        begins = hour_of(activated_at) if k == 0 else calendar.first_hour(months_after(anchor, k))
        next_anchor = months_after(anchor, k + 1)
        if k == PERIODS - 1:
            next_anchor += timedelta(days=1)
        yield GrantPeriod(k + 1, begins, calendar.first_hour(next_anchor))


def grant_id(meter: str, number: int, series: int = 0) -> str:
    """`free-calls-1`; where the quota was given anew, the series is told apart: `free-calls-1-r1` (P3, B20)."""
    return f"free-{meter}-{number}" + (f"-r{series}" if series else "")
