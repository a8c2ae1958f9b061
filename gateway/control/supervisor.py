"""Keeps the workers of every pool running (DESIGN 2.1): starts, restarts, replaces, drains them.

A slot is a place for one worker: the sockets it listens on outlive the worker in it. Each slot has one task, which
owns its worker from start to exit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.control.backoff import Backoff
from gateway.control.errors import StartError
from gateway.control.listeners import ListenerShelf
from gateway.control.loans import Loans
from gateway.control.pools import PoolSpec
from gateway.control.run_files import RunFiles
from gateway.control.watchdog import LOOK_INTERVAL_S
from gateway.control.worker_process import Snapshot, WorkerProcess, targets_message

_log = logging.getLogger(__name__)

TargetNews = Callable[[str, str, str, str], None]  # writer, "ejected" or "returned", service, url

# How long a fresh worker may take to serve: Python starts in well under a second, on a loaded machine in some.
_START_S_MAX = 20.0
# A worker ends its own drain at drain_s; one that has not by then is stuck.
_DRAIN_GRACE_S = 2.0


class _Slot:
    """One place for a worker. Used by the Supervisor only."""

    def __init__(self, spec: PoolSpec, number: int) -> None:
        self.spec = spec
        self.number = number
        self.backoff = Backoff()
        self.worker: WorkerProcess | None = None
        self.left = asyncio.Event()  # set when the slot is given up
        self.task: asyncio.Task[None]  # from its start on

    @property
    def is_leaving(self) -> bool:
        return self.left.is_set()

    @property
    def is_serving(self) -> bool:
        worker = self.worker
        return worker is not None and worker.is_alive and worker.ready_at is not None and not self.is_leaving


class Supervisor:
    """``writer_gone`` is called with the writer id of each worker that ended; its run file is left to the callee.

    ``target_news`` is called when a worker ejects a target, or takes it back.
    """

    def __init__(
        self,
        command: Sequence[str],
        writer_prefix: str,
        run_files: RunFiles,
        writer_gone: Callable[[str], None],
        target_news: TargetNews = lambda *_: None,
    ) -> None:
        self.restarts: Counter[str] = Counter()  # by pool: deaths that nobody asked for
        self._command = tuple(command)
        self._writer_prefix = writer_prefix
        self._run_files = run_files
        self._writer_gone = writer_gone
        self._target_news = target_news
        self._shelf = ListenerShelf()
        self._loans: Loans[_Slot] = Loans(lambda slot: list(self._shelf.open(slot.spec.places(slot.number)).values()))
        self._generation = 0
        self._slots: list[_Slot] = []
        self._workers: set[WorkerProcess] = set()  # every one that was started and not yet reaped
        self._tasks: set[asyncio.Task[None]] = set()  # one for each slot that is in use or being left
        self._snapshots: dict[str, Snapshot] = {}
        self._targets_down: list[tuple[str, str]] = []
        self._restarting = asyncio.Lock()
        self._is_stopping = False  # No worker comes after those there are.
        self._pulse = asyncio.Event()  # set, and replaced, at every change of a worker

    # What the workers are

    def pools(self) -> dict[str, list[dict[str, Any]]]:
        """For people: by pool, each slot's worker."""
        pools: dict[str, list[dict[str, Any]]] = {}
        for slot in self._slots:
            worker = slot.worker
            pools.setdefault(slot.spec.pool, []).append(
                {
                    "slot": slot.number,
                    "pid": worker.pid if worker is not None and worker.is_alive else None,
                    "is_serving": slot.is_serving,
                    "snapshot": worker.applied_version if worker is not None else 0,
                }
            )
        return pools

    def is_serving(self) -> bool:
        """True when every pool has a worker that serves by the pool's current snapshot.

        One of several workers between a crash and its restart does not take the node out of service.
        """
        serving = {slot.spec.pool for slot in self._slots if slot.is_serving and self._is_current(slot)}
        return serving == {slot.spec.pool for slot in self._slots}

    # What they should do

    async def apply(self, specs: Sequence[PoolSpec], *, is_shared: bool = False) -> None:
        """Make the running pools these. Workers of an unchanged pool are left alone.

        New workers serve before old ones drain, on the same open sockets where the address is the same.
        Raises StartError, with everything as before. Snapshots of new pools have to be published first.
        """
        unchanged = [spec for spec in specs if any(slot.spec == spec for slot in self._slots)]
        fresh = [_Slot(spec, number) for spec in specs if spec not in unchanged for number in range(spec.workers)]
        old = [slot for slot in self._slots if slot.spec not in specs]
        kept = [slot for slot in self._slots if slot.spec in unchanged]
        for slot in fresh:
            slot.spec.require_startable()
        self._shelf.open([place for slot in fresh for place in slot.spec.places(slot.number)], is_shared=is_shared)
        for slot in fresh:
            self._start(slot)
        try:
            await self._until(lambda: all(slot.is_serving for slot in fresh), _START_S_MAX)
        except TimeoutError:
            pools = sorted({slot.spec.pool for slot in fresh if not slot.is_serving})
            raise StartError(f"workers of {', '.join(pools)} did not start") from None
        finally:
            if not all(slot.is_serving for slot in fresh):
                await self._abandon(fresh, kept + old)
        self._slots = kept + fresh
        for slot in old:
            self._leave(slot)
        self._close_unused()
        self._notify()

    async def restart(self) -> None:
        """Replace every worker by a fresh one on the same open sockets: in each pool one at a time, the new one first.

        Waits for the workers that an earlier change left behind: a limit reckons with two workers in a slot at the
        most (gateway/limits/limit.py). Raises StartError where a fresh worker did not start; the old one stays then.
        """
        async with self._restarting:
            in_use = {slot.task for slot in self._slots}
            if leaving := self._tasks - in_use:
                await asyncio.wait(leaving)
            pools = {slot.spec.pool for slot in self._slots}
            results = await asyncio.gather(*map(self._restart_pool, sorted(pools)), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    async def _restart_pool(self, pool: str) -> None:
        for slot in [slot for slot in self._slots if slot.spec.pool == pool]:
            if slot in self._slots:
                await self._replace(slot)

    async def _replace(self, slot: _Slot) -> None:
        fresh = _Slot(slot.spec, slot.number)
        self._start(fresh)
        try:
            await self._until(lambda: fresh.is_serving and self._is_current(fresh), _START_S_MAX)
        except TimeoutError:
            raise StartError(f"a fresh worker of {slot.spec.pool} did not start") from None
        finally:
            # Another change may have given the slot up meanwhile.
            is_wanted = fresh.is_serving and slot in self._slots
            if is_wanted:
                self._slots[self._slots.index(slot)] = fresh
            self._leave(slot if is_wanted else fresh)
            self._close_unused()

    def publish(self, snapshots: Mapping[str, Snapshot]) -> None:
        """Hand each pool its snapshot. ``applied`` waits for the workers to have it."""
        for pool, snapshot in snapshots.items():
            self._snapshots[pool] = snapshot
        for worker in self._workers:
            self._bring_up_to_date(worker)

    async def applied(self, timeout_s: float) -> bool:
        """Wait until every serving worker has its pool's current snapshot. False: one had not within the time."""
        try:
            await self._until(lambda: all(self._is_current(slot) for slot in self._slots if slot.is_serving), timeout_s)
        except TimeoutError:
            return False
        return True

    def publish_targets(self, down: Sequence[tuple[str, str]]) -> None:
        """Tell every worker which targets the probes found down: (service, url), the whole list."""
        self._targets_down = list(down)
        message = targets_message(self._targets_down)
        for worker in self._workers:
            worker.tell(message)

    def look_at_certificates(self) -> None:
        """Ask every worker to look now whether its certificates have changed; they look by themselves too."""
        for worker in self._workers:
            worker.tell({"do": "certificates"})

    def reopen_logs(self) -> None:
        """Ask every worker to open its access log anew, after a rotation."""
        for worker in self._workers:
            worker.tell({"do": "reopen"})

    async def drain(self) -> None:
        """Stop every worker and wait for them, nothing comes after them; who outlasts the drain time is killed."""
        self._is_stopping = True
        for worker in self._workers:
            worker.stop()  # Those too that drain already, and would leave the connections at rest to a successor.
        for slot in self._slots:
            self._leave(slot)
        self._slots = []
        # Ours too, at once: in a socket that stays open and that nobody accepts from, clients would wait for nothing.
        self._shelf.close()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def kill(self) -> None:
        """Kill what still runs, so that a ``drain`` under way ends."""
        for worker in self._workers:
            worker.kill()

    # The life of a slot

    def _start(self, slot: _Slot) -> None:
        name = f"slot {slot.spec.pool}-{slot.number}"
        slot.task = task = asyncio.get_running_loop().create_task(self._tend(slot), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=error)

    async def _tend(self, slot: _Slot) -> None:
        """Keep a worker in the slot until the slot is left; then wait for the last one's end."""
        while not slot.is_leaving:
            lived_s = 0.0
            try:
                worker = await self._spawn(slot)
            except OSError as error:
                _log.error("no worker for %s-%d: %s", slot.spec.pool, slot.number, error)
            else:
                status = await self._outlive(slot, worker)
                if slot.is_leaving:
                    return
                lived_s = worker.lived_s
                _log.error("worker %s (pid %d) died with status %d", worker.writer, worker.pid, status)
            self.restarts[slot.spec.pool] += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(slot.left.wait(), slot.backoff.delay_s(lived_s))

    async def _spawn(self, slot: _Slot) -> WorkerProcess:
        spec, snapshot = slot.spec, self._snapshots[slot.spec.pool]
        self._generation += 1
        writer = f"{self._writer_prefix}:{spec.pool}-{slot.number}:{self._generation}"
        worker = WorkerProcess(spec, slot.number, writer, self._on_message)
        sockets = self._shelf.open(spec.places(slot.number))
        self._run_files.write(writer)
        try:
            await worker.start(self._command, list(sockets.values()), snapshot)
        except OSError:
            self._run_files.remove(writer)
            raise
        slot.worker = worker
        self._workers.add(worker)
        self._run_files.write(writer, worker.pid)
        # What was said while it started was not heard.
        self._bring_up_to_date(worker)
        if self._targets_down:
            worker.tell(targets_message(self._targets_down))
        return worker

    async def _outlive(self, slot: _Slot, worker: WorkerProcess) -> int:
        """Wait for the worker's end; once the slot is left, for no longer than its drain may take."""
        loop = asyncio.get_running_loop()
        left = loop.create_task(slot.left.wait(), name="left")
        watch = loop.create_task(self._watch(worker), name="watch")
        waiting: set[asyncio.Future[Any]] = {left, worker.exited}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left.cancel()
            watch.cancel()
            await asyncio.wait({left, watch})
        if not worker.exited.done():
            worker.stop() if self._is_stopping else worker.drain()
            await asyncio.wait({worker.exited}, timeout=worker.spec.drain_s + _DRAIN_GRACE_S)
            if not worker.exited.done():
                _log.error("worker %s (pid %d) outlasted its drain and is killed", worker.writer, worker.pid)
                worker.kill()
        status = await worker.exited
        self._workers.discard(worker)
        self._writer_gone(worker.writer)
        self._notify()
        return status

    async def _watch(self, worker: WorkerProcess) -> None:
        """One that hangs is killed: what waits in its queue is served by others, and soon by its successor."""
        looked_at = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            now = time.monotonic()
            if worker.is_hung(now - looked_at):
                _log.error("worker %s (pid %d) hangs, and is killed", worker.writer, worker.pid)
                worker.kill()
                return
            looked_at = now

    def _leave(self, slot: _Slot) -> None:
        slot.left.set()

    async def _abandon(self, fresh: Sequence[_Slot], stay: Sequence[_Slot]) -> None:
        """Undo a start that did not come off."""
        for slot in fresh:
            self._leave(slot)
            if slot.worker is not None:
                slot.worker.kill()
        self._slots = list(stay)
        self._close_unused()

    # News

    def _on_message(self, worker: WorkerProcess, message: dict[str, Any]) -> None:
        at = message["at"]
        if at in ("ejected", "returned"):
            self._target_news(worker.writer, at, str(message.get("service")), str(message.get("target")))
        self._notify()

    def _bring_up_to_date(self, worker: WorkerProcess) -> None:
        snapshot = self._snapshots.get(worker.spec.pool)
        if snapshot is None or snapshot.version == worker.told_version:
            return
        if worker.tell({"do": "snapshot", "path": str(snapshot.path), "version": snapshot.version}):
            worker.told_version = snapshot.version

    def _is_current(self, slot: _Slot) -> bool:
        snapshot = self._snapshots.get(slot.spec.pool)
        return snapshot is None or (slot.worker is not None and slot.worker.applied_version >= snapshot.version)

    def _close_unused(self) -> None:
        self._shelf.keep_only([place for slot in self._slots for place in slot.spec.places(slot.number)])

    def _notify(self) -> None:
        self._loans.settle(self._slots)
        self._pulse.set()
        self._pulse = asyncio.Event()

    async def _until(self, claim: Callable[[], bool], timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            while not claim():
                await self._pulse.wait()
