"""A key's quota: so many calls in a day or a month, exact over the workers of a pool (RULES X33; DESIGN 1.5).

The count is a word in a file (`quota_table.py`), read and moved under the file's lock, so that the last call of a
period is given once. A call is counted when it is admitted, together with the limits or not at all; one that a dying
worker had counted and not forwarded stays counted.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from gateway.limits.admission import LimitSet
from gateway.limits.limit import Bound, Limit
from gateway.limits.period import Period, period_at
from gateway.limits.quota_table import CALLS_MAX, QuotaTable, quota_table_path
from metering.clock import VirtualClock

_PERIOD_AT: Final = 40  # bit of a word that its period begins at
_MONTH: Final = 1 << 22  # told from a day's number by this
_POLICY: Final = b"RateLimit-Policy: "
_STEPS_BACK_MAX: Final = 1  # periods that the clock may have stepped back by and the count still stands


class Quota(Bound):
    """One worker's handle. ``calls`` in each ``per``, which is day or month."""

    __slots__ = ("_clock", "_kind", "_period", "_slot", "_timezone", "calls", "per", "table")

    def __init__(
        self, table: QuotaTable, slot: int, calls: int, per: str, name: str, *, timezone: str, clock: VirtualClock
    ) -> None:
        super().__init__("quota", name)
        self.table = table
        self._slot = slot
        self.calls = calls
        self.per = per
        self._kind = _MONTH if per == "month" else 0
        self._timezone = ZoneInfo(timezone)
        self._clock = clock
        self._period = self._period_at(clock.now())

    def used(self) -> int:
        """Calls in the period that is now."""
        word = self.table.words[self._slot]
        return word & CALLS_MAX if word >> _PERIOD_AT == self._mark() else 0

    def count(self) -> None:
        """One call. The caller holds the lock."""
        mark = self._mark()
        word = self.table.words[self._slot]
        used = word & CALLS_MAX if word >> _PERIOD_AT == mark else 0
        self.table.words[self._slot] = mark << _PERIOD_AT | used + 1

    def ends_in_s(self) -> float:
        """Real seconds until the period ends that is counted in."""
        period = self._now()
        if self._mark() != period.number | self._kind:  # The clock stepped back: the next one is.
            period = self._period_at(period.end_s)
        return max(0.0, self._clock.real_seconds_until(period.end_s))

    def wait_ns(self, now_ns: int) -> int:
        return ceil(self.ends_in_s() * 1_000_000_000)

    @property
    def length_s(self) -> int:
        period = self._now()
        return round(period.end_s - period.begin_s)

    @property
    def resets_at_s(self) -> float:
        return self._now().end_s

    def _mark(self) -> int:
        """The period as a word has it. A clock that stepped back a little stays in the period it had reached."""
        number = self._now().number | self._kind
        reached = self.table.words[self._slot] >> _PERIOD_AT
        return reached if number < reached <= number + _STEPS_BACK_MAX else number

    def _now(self) -> Period:
        now_s = self._clock.now()
        if not self._period.begin_s <= now_s < self._period.end_s:
            self._period = self._period_at(now_s)
        return self._period

    def _period_at(self, now_s: float) -> Period:
        return period_at(now_s, self.per, self._timezone)


class QuotaLimitSet(LimitSet):
    """The limits of a route, and the quota of a key: all or none."""

    __slots__ = ("_quota",)

    def __init__(self, limits: tuple[Limit, ...], quota: Quota) -> None:
        super().__init__(limits)
        self._quota = quota

    def admit(self, now_ns: int) -> Bound | None:
        quota = self._quota
        if quota.used() >= quota.calls:
            return quota
        quota.table.lock()
        try:
            if quota.used() >= quota.calls:
                return quota
            refused = super().admit(now_ns) if self.limits else None
            if refused is None:
                quota.count()
            return refused
        finally:
            quota.table.unlock()

    def fields(self, now_ns: int) -> bytes:
        """The quota's policy stands beside the limits'; `RateLimit` is of what has the least left."""
        quota = self._quota
        left = max(0, quota.calls - quota.used())
        least = b'"quota";r=%d;t=%d' % (left, quota.wait_s(now_ns))
        if self.limits:
            rate = super().fields(now_ns).partition(b"\r\nRateLimit: ")[2].rstrip()
            if int(rate.partition(b";r=")[2].partition(b";")[0]) < left:
                least = rate
        return self._policies() + least + b"\r\n"

    def _policies(self) -> bytes:
        quota = self._quota
        policy = b'"quota";q=%d;w=%d' % (quota.calls, quota.length_s)
        if self.limits:
            policy = self._policy.partition(b"\r\n")[0].removeprefix(_POLICY) + b", " + policy
        return _POLICY + policy + b"\r\nRateLimit: "


class QuotaHandles:
    """Makes the quotas of one worker; opens their table when the first key has one."""

    __slots__ = ("_clock", "_path", "_table")

    def __init__(self, limit_table: Path, clock: VirtualClock) -> None:
        self._path = quota_table_path(limit_table)
        self._clock = clock
        self._table: QuotaTable | None = None

    def quota(self, name: str, document: dict[str, Any]) -> Quota:
        """``document``: {"slot", "calls", "per", "timezone"}. Raises QuotaTableError, OSError."""
        if self._table is None:
            self._table = QuotaTable(self._path)
        return Quota(
            self._table,
            document["slot"],
            document["calls"],
            document["per"],
            name,
            timezone=document["timezone"],
            clock=self._clock,
        )
