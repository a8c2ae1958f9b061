"""What the control process does on its store: collect, settle, look, compile. Used on the store's thread only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from config.schema import Settings
from gateway.control.errors import StartError
from gateway.control.limit_view import LimitView
from gateway.control.office import Office
from gateway.control.past import require_not_past
from gateway.control.ports import Wiring
from gateway.control.run_files import RunFiles
from gateway.control.snapshot import CompiledServices, compile_snapshots
from gateway.control.snapshot_files import SnapshotFiles
from gateway.control.store import Store
from gateway.control.target_health import Watched, watched_targets
from gateway.control.worker_process import Snapshot

T = TypeVar("T")
_log = logging.getLogger(__name__)

_RECONCILE_INTERVAL_S = 24 * 3600
# Counters reach the store, and /metrics (at most 2 s behind, DESIGN 1.7), this often. With thousands of services in use
# less often, so that it takes a twentieth of a CPU: it is one that traffic may want.
_COLLECT_PAUSE_S = 0.5
_FRESH_S = 1.5  # a pause and two collections: what was counted just after one is seen at the end of the next
_COLLECT_SHARE = 1 / 20


def collect_pause_s(cpu_s: float) -> float:
    """Until counters are collected again, where that took so many seconds of a CPU."""
    return max(_COLLECT_PAUSE_S, min(cpu_s * (1 / _COLLECT_SHARE - 1), _FRESH_S - 2 * cpu_s))


class Bookkeeper:
    """``settings``: the file's, with the instances that were bought over the API.

    They, ``entitlements``, ``balances`` and ``lag_s`` are as of the last look, ``watched`` as of the last snapshot.

    Other threads may read these.
    """

    def __init__(
        self,
        settings: Settings,
        wiring: Wiring,
        run_files: RunFiles,
        *,
        take_over: bool = False,
        allow_past: bool = False,
    ) -> None:
        """Raises StartError where the clock lies before what is billed, unless ``allow_past``."""
        data_dir = Path(settings.node.data_dir)
        self.settings = settings
        self._run_files = run_files
        self.files = SnapshotFiles(data_dir)
        self.store = Store(settings, wiring, take_over=take_over)
        if not allow_past:
            self._require_not_past()
        self.limits = LimitView(self.files, self.store.clock, settings.billing.timezone)
        self.store.office.limit_rows = self.limits.rows
        self.entitlements: Mapping[str, bool] = {}
        self.balances: Sequence[tuple[str, str, int]] = ()
        self.lag_s = 0.0
        self.collect_cpu_s = 0.0  # what the last `collect` took
        self.watched: tuple[Watched, ...] = ()
        self.findings: Sequence[str] = ()  # of the last reconciliation
        self._reconciled_at: float | None = None
        self._compiled_from: tuple[Settings, int, Mapping[str, bool]] | None = None
        self._compiled_services = CompiledServices()
        self._snapshots: dict[str, Snapshot] = {}
        self.take_up(settings)

    def _require_not_past(self) -> None:
        try:
            require_not_past(self.store.clock.now(), self.store.biller.settled_through())
        except StartError:
            self.close()
            raise

    def take_up(self, settings: Settings) -> None:
        """Go by these settings from here on: accounts, instances and services follow them."""
        self.settings = self.store.take_up(settings)
        self.look()

    def collect(self, gone_writers: Sequence[str] = ()) -> None:
        """Counter files into the store. A run file goes once its writer's last counts are committed."""
        began_s = time.thread_time()
        self.limits.look(time.monotonic_ns())
        for writer in gone_writers:
            self.store.collector.writer_gone(writer)
        self.store.collector.collect()
        self.store.collector.compress_archive(self.settings.billing.timezone)
        for writer in gone_writers:
            self._run_files.remove(writer)
        self.collect_cpu_s = time.thread_time() - began_s

    def settle(self) -> None:
        store = self.store
        # What the hour's files hold has to be in the store before the hour is taken for whole.
        store.collector.collect()
        try:
            store.biller.settle(store.clock.now(), store.collector.sealed_through)
        finally:
            # An account that cannot be settled does not hide what became of the others, and neither does a store that
            # cannot be added up.
            try:
                self._reconcile_daily()
            finally:
                self.look()

    def _reconcile_daily(self) -> None:
        """Once a day of the node's clock, and at the start: what disagrees is marked again, and an alarm (C.5)."""
        now, last = self.store.clock.now(), self._reconciled_at
        # One that was set back does not make the day longer.
        if last is not None and last <= now < last + _RECONCILE_INTERVAL_S:
            return
        self._reconciled_at = now
        self.findings = self.store.biller.reconcile(repair=True)
        for finding in self.findings:
            _log.error("the store contradicts itself: %s", finding)

    def act(self, action: Callable[[Office], T]) -> T:
        # First: some of what is done is in files, which no transaction fences.
        self.store.ownership.require()
        done = action(self.store.office)
        try:
            self.look()
        except Exception:
            # What is done is committed, and answered so. How accounts stand is looked at again at the next tick.
            _log.exception("a change is made, and what became of the accounts could not be looked at")
        return done

    def look(self) -> None:
        """See how the accounts stand, and which bought instances there are."""
        biller = self.store.biller
        self.settings = self.store.follow_instances()
        self.entitlements = dict(biller.entitlements())
        self.balances = biller.balances()
        self.lag_s = biller.lag_s(self.store.clock.now())

    def snapshots(self) -> dict[str, Snapshot]:
        """The current snapshot of every pool; compiled and written only when something changed."""
        book = self.store.book
        made_from = (self.settings, book.revision, self.entitlements)
        last = self._compiled_from
        # The settings by identity: to compare 200,000 routes takes as long as to compile them.
        if last is None or last[0] is not made_from[0] or last[1:] != made_from[1:]:
            pools = compile_snapshots(
                self.settings,
                self.store.catalog,
                book.services(),
                self.entitlements,
                self.files.slot_of,
                self._compiled_services,
            )
            self._snapshots = self.files.write(pools)
            self.limits.begin(time.monotonic_ns())
            self.watched = watched_targets(book.services(), {one.id: one for one in self.settings.instances})
            self._compiled_from = made_from
        return self._snapshots

    def close(self) -> None:
        self.store.close()
        self.files.close()
