"""A key's quota: so many calls in a day or a month, exact over the workers of a pool (RULES X33; DESIGN 1.5).

The counts are words in a file (`quota_table.py`), read and moved under the file's lock, so that the last call of a
period is given once. A call is counted when it is admitted, together with the limits or not at all; one that a dying
worker had counted and not forwarded stays counted.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any, Final

from gateway.limits.admission import LimitSet
from gateway.limits.limit import Bound, Limit
from gateway.limits.quota_table import QuotaTable, quota_table_path
from gateway.limits.tally import Tally
from metering.clock import VirtualClock

_POLICY: Final = b"RateLimit-Policy: "


class Quota(Bound):
    """One worker's handle. ``calls`` in each ``per``, which is day or month."""

    __slots__ = ("_beside", "_clock", "_tally", "calls", "per", "table")

    def __init__(
        self, table: QuotaTable, slot: int, calls: int, per: str, name: str, *, timezone: str, clock: VirtualClock
    ) -> None:
        super().__init__("quota", name)
        self.table = table
        self.calls = calls
        self.per = per
        self._clock = clock
        self._tally = Tally(table, slot, per, timezone, clock)
        self._beside = Tally(table, slot, "month" if per == "day" else "day", timezone, clock)

    def used(self) -> int:
        """Calls in the period that is now."""
        return self._tally.used()

    def count(self) -> None:
        """One call, of the day and of the month. The caller holds the lock."""
        self._tally.count()
        self._beside.count()

    def ends_in_s(self) -> float:
        """Real seconds until the period ends that is counted in."""
        return max(0.0, self._clock.real_seconds_until(self._tally.counted_in().end_s))

    def wait_ns(self, now_ns: int) -> int:
        return ceil(self.ends_in_s() * 1_000_000_000)

    @property
    def length_s(self) -> int:
        period = self._tally.period()
        return round(period.end_s - period.begin_s)

    @property
    def resets_at_s(self) -> float:
        return self._tally.period().end_s


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
