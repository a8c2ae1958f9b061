"""Snapshots on the disk, one file for each pool and version, and the limit tables they point into.

The last good one of each pool stays, so that a worker can start at any time; the one before stays too, for a worker
that was told of it and has not read it yet.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.control.durable import write_atomically
from gateway.control.snapshot import PoolSnapshot
from gateway.control.worker_process import Snapshot
from gateway.limits.entry import LimitEntry
from gateway.limits.quota_table import QUOTAS, QuotaTable, quota_table_path
from gateway.limits.registry import SlotRegistry
from gateway.limits.setting import Setting
from gateway.limits.table import LimitTable
from gateway.snapshot_file import encode

_NAME = re.compile(r"(?P<pool>.+)\.(?P<version>[0-9]+)\.json\Z")
_KEPT = 2


class SnapshotFiles:
    """Not thread-safe: used on the store's thread only."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "snapshots"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._limits = data_dir / "limits"
        self._tables: dict[str, LimitTable] = {}
        self._registries: dict[str, SlotRegistry] = {}
        self._quota_tables: dict[str, QuotaTable] = {}
        self._quota_registries: dict[str, SlotRegistry] = {}
        self._names: dict[str, set[str]] = {}  # by pool: limits of the last snapshot
        self._last: dict[str, PoolSnapshot] = {}
        self._current: dict[str, Snapshot] = {}
        # Versions go on over restarts: a worker takes a higher one for a newer one.
        self._version = max((version for _, version, _ in self._files()), default=0)

    def limit_table(self, pool: str) -> Path:
        return self._limits / f"{pool}.table"

    def slot_of(self, pool: str, name: str) -> int:
        """The slot of a limit or quota in its pool's table. The same name has the same slot over restarts, too."""
        registry = self._quota_registry(pool) if name.startswith("quota:") else self._registry(pool)
        return registry.slot(name)

    def tables(self, pool: str) -> tuple[LimitTable, QuotaTable | None]:
        """To read them; a pool that has never had a quota has no table of them."""
        self._registry(pool)
        return self._tables[pool], self._quota_tables.get(pool)

    @property
    def current(self) -> Mapping[str, PoolSnapshot]:
        """By pool, what was written last."""
        return self._last

    def write(self, pools: Mapping[str, PoolSnapshot]) -> dict[str, Snapshot]:
        """Write what changed; the current snapshot of every pool given. One version for all that changed together."""
        changed = {pool: now for pool, now in pools.items() if pool not in self._last or now.differs(self._last[pool])}
        if changed:
            self._version += 1
        for pool, now in pools.items():
            # First, so that no worker uses a slot that the book does not know of.
            self._forget_limits(pool, now)
            self._set_limits(pool, now)
            self._last[pool] = now
        for pool, now in changed.items():
            path = self._folder / f"{pool}.{self._version}.json"
            # Not fsynced: after a power loss no worker runs, and the start writes the snapshots anew.
            content = encode(self._version, now.burst_ms, now.instances, now.services)
            write_atomically(path, content, durable=False)
            self._current[pool] = Snapshot(self._version, path)
        self._remove_old()
        return {pool: self._current[pool] for pool in pools}

    def close(self) -> None:
        for table in self._tables.values():
            table.close()
        for quotas in self._quota_tables.values():
            quotas.close()
        self._tables, self._registries = {}, {}
        self._quota_tables, self._quota_registries = {}, {}

    def _registry(self, pool: str) -> SlotRegistry:
        registry = self._registries.get(pool)
        if registry is None:
            table = self._tables[pool] = LimitTable.create(self.limit_table(pool))
            registry = self._registries[pool] = SlotRegistry(self._limits / f"{pool}.slots.json", table)
        return registry

    def _quota_registry(self, pool: str) -> SlotRegistry:
        registry = self._quota_registries.get(pool)
        if registry is None:
            table = self._quota_tables[pool] = QuotaTable(quota_table_path(self.limit_table(pool)))
            registry = self._quota_registries[pool] = SlotRegistry(self._limits / f"{pool}.quotas.json", table, QUOTAS)
        return registry

    def _forget_limits(self, pool: str, snapshot: PoolSnapshot) -> None:
        # A limit's slot is free one snapshot after the last that has it: workers do not all swap at one instant.
        # Every pool has a table, limits or none: its workers open it.
        now = {entry.name for entry in snapshot.limit_entries()}
        self._registry(pool).keep_only(now | self._names.get(pool, set()))
        quotas = self._quota_registries.get(pool)
        if quotas is not None:
            # What a key has used stays known while it is away for a while: it may come back within the period.
            is_crowded = len(quotas.names) > QUOTAS // 2
            quotas.keep_only(now | self._names.get(pool, set()) if is_crowded else set(quotas.names))
        self._names[pool] = now

    def _set_limits(self, pool: str, snapshot: PoolSnapshot) -> None:
        """Into the table before any worker is told: a changed limit holds for all of them at once."""
        last = self._last.get(pool)
        is_like_last = last is not None and (last.burst_ms, last.workers) == (snapshot.burst_ms, snapshot.workers)
        known = set(map(id, last.services)) if last is not None and is_like_last else set()
        settings: dict[int, Setting] = {}

        def changed() -> Iterator[LimitEntry]:
            yield from snapshot.limits
            for piece in snapshot.services:
                if id(piece) not in known:
                    yield from piece.limits

        def setting(qps: int) -> Setting:
            if qps not in settings:
                settings[qps] = Setting(qps, snapshot.burst_ms, snapshot.workers)
            return settings[qps]

        table = self._tables[pool]
        table.set(((one.slot, setting(one.qps)) for one in changed() if not one.is_quota), time.monotonic_ns())

    def _remove_old(self) -> None:
        versions: dict[str, list[tuple[int, Path]]] = {}
        for pool, version, path in self._files():
            versions.setdefault(pool, []).append((version, path))
        for found in versions.values():
            for _, path in sorted(found, reverse=True)[_KEPT:]:
                path.unlink(missing_ok=True)

    def _files(self) -> list[tuple[str, int, Path]]:
        found = []
        for path in self._folder.iterdir():
            if match := _NAME.match(path.name):
                found.append((match["pool"], int(match["version"]), path))
        return found
