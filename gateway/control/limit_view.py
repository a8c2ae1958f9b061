"""Limits and quotas as people see them: set to what, used how much, how much is left. Used on the store's thread.

Workers count the tokens that they take in the slots of the limit tables; here those counts are looked at in turns.
What a worker holds is counted as admitted: at the most an eighth of a limit's burst, over all workers.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from gateway.control.snapshot import PoolSnapshot
from gateway.control.snapshot_files import SnapshotFiles
from gateway.limits.entry import LimitEntry
from gateway.limits.quota import Quota
from gateway.limits.quota_table import QuotaTable
from gateway.limits.setting import Setting
from gateway.limits.table import SETTING, TAKEN, WORDS_PER_SLOT, LimitTable
from metering.clock import VirtualClock

Document = dict[str, Any]
Group = tuple[str, str, str]  # instance, service, level

_SECOND_NS: Final = 1_000_000_000
_FINE_NS: Final = 3 * _SECOND_NS  # How far back every look is kept; before it one in five seconds is, for a minute.
_COARSE_NS: Final = 5 * _SECOND_NS
_KEPT_NS: Final = 70 * _SECOND_NS


class _Looks:
    """The counts of one pool's slots at some instants, oldest first."""

    def __init__(self) -> None:
        self._looks: deque[tuple[int, array[int]]] = deque()

    @property
    def last(self) -> array[int]:
        return self._looks[-1][1] if self._looks else array("q")

    def add(self, now_ns: int, taken: array[int]) -> None:
        looks = self._looks
        looks.append((now_ns, taken))
        while looks[0][0] < now_ns - _KEPT_NS:
            looks.popleft()
        kept: deque[tuple[int, array[int]]] = deque()
        for look in looks:
            if look[0] > now_ns - _FINE_NS or not kept or look[0] >= kept[-1][0] + _COARSE_NS:
                kept.append(look)
        self._looks = kept

    def admitted(self, slot: int, taken: int, now_ns: int, span_ns: int) -> int:
        """How many in the last ``span_ns``, from the look nearest before; of fewer, where looks go less far back."""
        then = None
        for look in self._looks:
            if then is not None and look[0] > now_ns - span_ns:
                break
            then = look
        if then is None:
            return 0
        before = then[1][slot] if slot < len(then[1]) else 0
        passed_ns = max(1, now_ns - then[0])
        since = taken - before if taken >= before else taken  # Fewer than before: the slot has begun anew.
        return since if passed_ns <= span_ns else round(since * span_ns / passed_ns)


class LimitView:
    """``admitted`` grows only; other threads may read it."""

    def __init__(self, files: SnapshotFiles, clock: VirtualClock, timezone: str) -> None:
        self._files = files
        self._timezone = timezone
        self._clock = clock
        self._looks: dict[str, _Looks] = {}
        self._groups: dict[str, tuple[PoolSnapshot, dict[int, Group]]] = {}
        self._sums: dict[Group, int] = {}
        self.admitted: Mapping[Group, int] = {}

    def begin(self, now_ns: int) -> None:
        """To be called before workers are told of a pool's first snapshot: what its table has from an earlier process
        is not admitted again. A counter begins anew at zero, or its increase is wrong."""
        for pool, snapshot in self._files.current.items():
            if pool not in self._looks:
                looks = self._looks[pool] = _Looks()
                looks.add(now_ns, self._taken(pool, max(self._groups_of(pool, snapshot), default=-1) + 1))

    def look(self, now_ns: int) -> None:
        """Reads the counts. ``now_ns``: monotonic; called each half second or so."""
        for pool, snapshot in self._files.current.items():
            groups = self._groups_of(pool, snapshot)
            looks = self._looks.setdefault(pool, _Looks())
            # Never fewer than before: a slot that nobody has for a while has its count when it is had again.
            taken = self._taken(pool, max(max(groups, default=-1) + 1, len(looks.last)))
            self._sum_up(looks.last, taken, groups)
            looks.add(now_ns, taken)
        self.admitted = dict(self._sums)

    def _taken(self, pool: str, slots: int) -> array[int]:
        table, _ = self._files.tables(pool)
        return array("q", table.words[TAKEN : slots * WORDS_PER_SLOT : WORDS_PER_SLOT].tolist())

    def _sum_up(self, before: array[int], now: array[int], groups: Mapping[int, Group]) -> None:
        if before == now:
            return
        padded = before + array("q", bytes(8 * max(0, len(now) - len(before))))
        for slot, (old, new) in enumerate(zip(padded, now, strict=False)):
            if old != new and (group := groups.get(slot)) is not None:
                self._sums[group] = self._sums.get(group, 0) + (new - old if new > old else new)

    def _groups_of(self, pool: str, snapshot: PoolSnapshot) -> dict[int, Group]:
        known = self._groups.get(pool)
        if known is None or known[0] is not snapshot:
            entries = (entry for entry in snapshot.limit_entries() if not entry.is_quota)
            groups = {entry.slot: (entry.instance, entry.service, entry.level) for entry in entries}
            known = self._groups[pool] = (snapshot, groups)
        return known[1]

    def rows(self) -> list[Document]:
        """One for each limit and quota that is in use."""
        now_ns = time.monotonic_ns()
        found = []
        for pool, snapshot in self._files.current.items():
            table, quotas = self._files.tables(pool)
            looks = self._looks.get(pool) or _Looks()
            for entry in snapshot.limit_entries():
                if not entry.is_quota:
                    found.append(_limit_row(entry, table, looks, now_ns))
                elif quotas is not None:
                    found.append(self._quota_row(entry, quotas))
        return found

    def _quota_row(self, entry: LimitEntry, table: QuotaTable) -> Document:
        quota = Quota(table, entry.slot, entry.qps, entry.per, entry.name, timezone=self._timezone, clock=self._clock)
        used = quota.used()
        resets_at = datetime.fromtimestamp(quota.resets_at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            **_place(entry),
            "qps": None,
            "burst": None,
            "admitted_last_second": None,
            "admitted_last_minute": None,
            "headroom": max(0, entry.qps - used),
            "quota": {"calls": entry.qps, "per": entry.per, "used": used, "resets_at": resets_at},
        }


def _place(entry: LimitEntry) -> Document:
    return {
        "level": entry.level,
        "instance": entry.instance,
        "service": None if entry.service == "-" else entry.service,
        "route": entry.part if entry.level == "route" else None,
        "key": entry.part if entry.level in ("key", "quota") else None,
        "mode": "shadow" if entry.is_shadow else "enforce",
    }


def _limit_row(entry: LimitEntry, table: LimitTable, looks: _Looks, now_ns: int) -> Document:
    at = entry.slot * WORDS_PER_SLOT
    setting = Setting.of_word(table.words[at + SETTING])
    taken = table.words[at + TAKEN]
    ahead_ns = max(0, table.words[at] - now_ns)
    return {
        **_place(entry),
        "qps": setting.qps,
        "burst": setting.burst,
        "admitted_last_second": looks.admitted(entry.slot, taken, now_ns, _SECOND_NS),
        "admitted_last_minute": looks.admitted(entry.slot, taken, now_ns, 60 * _SECOND_NS),
        "headroom": max(0, (setting.tolerance_ns - ahead_ns) // setting.interval_ns + 1),
        "quota": None,
    }
