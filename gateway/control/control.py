"""The life of the control process: open, start, tend, reload, drain (DESIGN 2.1).

Its workers do not depend on it: when it dies they go on, and the next one on the same data_dir takes over.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from config.schema import Settings
from gateway.admin.app import AdminServer, make_app
from gateway.admin.token import SOUND_CHARS_MIN, Token, open_token
from gateway.compiled import CompileError, is_used
from gateway.control.banner import banner
from gateway.control.bookkeeper import Bookkeeper, collect_pause_s
from gateway.control.data_dir import open_data_dir
from gateway.control.descriptors import open_what_may_be
from gateway.control.errors import DataDirBusy, Refusal, StartError
from gateway.control.fixed import as_at_start
from gateway.control.lock import DataDirLock
from gateway.control.node_view import NodeView
from gateway.control.office import Office
from gateway.control.pools import PoolSpec, pool_specs
from gateway.control.ports import Wiring
from gateway.control.predecessors import Predecessors
from gateway.control.probes import Prober
from gateway.control.reload import read_again
from gateway.control.run_files import RunFiles
from gateway.control.store_thread import StoreThread
from gateway.control.supervisor import Supervisor
from gateway.control.target_health import TargetHealth
from gateway.notify.notifier import Notifier

_log = logging.getLogger(__name__)
T = TypeVar("T")

# -P: not from the working directory, which may have a `config.py` of its own, or of somebody else's.
WORKER_COMMAND: Final = (sys.executable, "-P", "-m", "gateway.worker")

# A settlement within one virtual minute or one real second, whichever is longer (DESIGN 1.7).
_SETTLE_INTERVAL_VIRTUAL_S = 60.0
_SETTLE_INTERVAL_S_MIN = 1.0
# How long a change may take to be live on every worker (DESIGN 1.6).
_APPLY_S_MAX = 1.0
# What was still counted while the workers drained is collected before the store closes.
_FAREWELL_S_MAX = 10.0
# A command without a node holds the data_dir for well under a second.
_LOCK_WAIT_S = 2.0
# A second request to stop ends the drain. Some senders repeat theirs at once: those are one request.
_IMPATIENCE_S = 1.0


class Control:
    """One node. ``announce`` is told, once the node serves, what a person at the terminal wants to know."""

    def __init__(
        self,
        config: Path,
        settings: Settings,
        wiring: Wiring,
        announce: Callable[[str], None],
        worker_command: Sequence[str] = WORKER_COMMAND,
        *,
        take_over: bool = False,
        allow_past: bool = False,
    ) -> None:
        """Raises StartError where the data_dir is another user's."""
        open_data_dir(settings.node.data_dir, settings.store.url)
        self._config = config
        self._settings = settings = as_at_start(settings)
        self._wiring = wiring
        self._announce = announce
        self._data_dir = settings.node.data_dir
        self._stop = asyncio.Event()
        self._stopped_at = 0.0
        self._hang_up = asyncio.Event()
        self._restart_asked = asyncio.Event()
        self._has_started = False
        self._changing = asyncio.Lock()  # one change of what the workers serve at a time
        self._gone_writers: list[str] = []
        self._thread = StoreThread()
        self._beats = StoreThread()  # a settlement may hold up the other for longer than a heartbeat may be late
        self._how = {"take_over": take_over, "allow_past": allow_past}
        self._store_jobs: list[asyncio.Task[None]] = []
        self._is_lost = False
        self._run_files = RunFiles(self._data_dir)
        prefix = f"{settings.node.name}:{secrets.token_hex(8)}"
        self._targets = TargetHealth(lambda down: self._supervisor.publish_targets(down))
        self._prober = Prober(self._targets)
        self._supervisor = Supervisor(worker_command, prefix, self._run_files, self._on_writer_gone, self._targets.told)
        self._books: Bookkeeper  # from the start of _serve on
        self._view: NodeView  # likewise
        self._pools_of: Settings | None = None  # the settings that the running pools are of

    # The life

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises StartError, DataDirBusy, and what the store raises at start."""
        try:
            is_used()
        except CompileError as error:
            raise StartError(str(error)) from None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up.set)
        loop.add_signal_handler(signal.SIGUSR2, self._restart_asked.set)
        with await self._lock():
            try:
                self._books = await self._thread.run(
                    Bookkeeper, self._settings, self._wiring, self._run_files, **self._how
                )
                try:
                    await self._serve()
                finally:
                    await self._thread.run(self._books.close)
            finally:
                self._thread.close()
                self._beats.close()

    async def _lock(self) -> DataDirLock:
        """The data_dir, waiting for a command that has it for a moment."""
        deadline = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                return DataDirLock(self._data_dir)
            except DataDirBusy:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.1)

    def _on_stop(self) -> None:
        now = time.monotonic()
        if not self._stop.is_set():
            self._stopped_at = now
            self._stop.set()
        elif now > self._stopped_at + _IMPATIENCE_S:
            _log.warning("asked to stop again: workers are killed")
            self._supervisor.kill()

    async def _serve(self) -> None:
        self._view = NodeView(self._settings.node.name, self._books, self._supervisor, self._targets)
        # Before anybody can ask for them: metrics go on where they were.
        await self._guarded(self._collect)
        admin = self._admin()
        bind = self._settings.admin.bind
        url = await admin.start(bind.host, bind.port)
        predecessors = Predecessors(self._run_files, self._gone_writers.append)
        notifier = Notifier(self._books.store.biller, lambda: self._settings, self._data_dir, self._of_store)
        beat = asyncio.get_running_loop().create_task(self._beat_on(), name="beat")
        try:
            async with asyncio.TaskGroup() as tasks:
                self._store_jobs = [
                    tasks.create_task(self._collect_on(), name="collect"),
                    tasks.create_task(self._settle_on(), name="settle"),
                    tasks.create_task(notifier.run(), name="notify"),
                ]
                jobs = [
                    tasks.create_task(self._start(predecessors, url), name="start"),
                    tasks.create_task(self._restart_on(), name="restart"),
                    *self._store_jobs,
                ]
                await self._stop.wait()
                _log.info("draining, for %g s at most", self._settings.drain)
                for job in jobs:
                    job.cancel()
        except ExceptionGroup as group:
            # The group's tasks fail one at a time: what ended the node is the first.
            raise group.exceptions[0] from None
        finally:
            await self._prober.close()
            await self._supervisor.drain()
            if self._stop.is_set():
                # A node that could not start leaves the workers of the one before it alone: they serve.
                await predecessors.drain(self._settings.drain)
            await admin.stop()
            await self._farewell()
            beat.cancel()
            await asyncio.wait({beat})

    def _admin(self) -> AdminServer:
        token = open_token(self._data_dir)
        if Token(token).is_weak:
            _log.warning("the admin token is shorter than %d characters, and could be guessed", SOUND_CHARS_MIN)
        hosts = self._settings.admin.hosts
        return AdminServer(make_app(self, token, hosts=hosts, watch=self._view.watch, descriptors=open_what_may_be()))

    async def _start(self, predecessors: Predecessors, admin_url: str) -> None:
        """Bring the workers up; then let those of an earlier control process go. Goes on as the reload loop."""
        async with self._changing:
            await self._publish()
            await self._apply_pools(is_shared=len(predecessors) > 0)
            self._has_started = True
        self._announce(banner(self._settings, self._pool_specs(), self._books.store.clock, admin_url))
        await predecessors.drain(self._settings.drain)
        while True:
            await self._hang_up.wait()
            self._hang_up.clear()
            await self._reload()

    async def _restart_on(self) -> None:
        """SIGUSR2. What is asked for during a restart is done after it, once."""
        while True:
            await self._restart_asked.wait()
            self._restart_asked.clear()
            try:
                await self.restart()
            except StartError as error:
                _log.error("the workers are not all restarted: %s", error)

    async def _farewell(self) -> None:
        """The last counts into the store."""
        if self._has_lost():
            _log.warning("what was counted last stays in %s: the store is another node's", self._data_dir)
            return
        try:
            async with asyncio.timeout(_FAREWELL_S_MAX):
                await self._collect()
        except Exception:
            _log.exception("what was counted last is not in the store yet; the next start collects it")

    def _on_writer_gone(self, writer: str) -> None:
        self._gone_writers.append(writer)
        self._targets.forget(writer)

    # Loops

    async def _beat_on(self) -> None:
        """Until the last counts are in the store: who is silent may lose it."""
        ownership = self._books.store.ownership
        while not self._has_lost():
            await asyncio.sleep(ownership.beat_interval_s)
            try:
                await self._beats.run(ownership.beat)
            except Exception as error:
                if not self._has_lost():
                    _log.warning("a heartbeat did not reach the store: %s", error)

    def _has_lost(self) -> bool:
        """Another node has the store. What was to be done on it ends; the workers serve and count on."""
        lost_to = self._books.store.ownership.lost_to
        if lost_to is not None and not self._is_lost:
            self._is_lost = True
            _log.error("the store was taken over by %s: this node writes it no more, and takes no changes. Its workers "
                       "serve on by what they have, and what they count stays in %s. Stop it, or start it again once "
                       "the other has ended", lost_to, self._data_dir)  # fmt: skip
            self._view.owns_store = False
            for job in self._store_jobs:
                job.cancel()
        return self._is_lost

    async def _collect_on(self) -> None:
        while True:
            await self._guarded(self._collect)
            await asyncio.sleep(collect_pause_s(self._books.collect_cpu_s))

    async def _collect(self) -> None:
        gone = list(self._gone_writers)
        await self._thread.run(self._books.collect, gone)
        del self._gone_writers[: len(gone)]

    async def _settle_on(self) -> None:
        interval_s = max(_SETTLE_INTERVAL_VIRTUAL_S / self._view.clock_rate, _SETTLE_INTERVAL_S_MIN)
        while True:
            await self._guarded(self._settle)
            await asyncio.sleep(interval_s)

    async def _settle(self) -> None:
        async with self._changing:
            try:
                await self._thread.run(self._books.settle)
            finally:
                await self._publish()
                await self._follow_instances()

    async def _guarded(self, job: Callable[[], Awaitable[None]]) -> None:
        """A full disk or a database that is away fails a turn, not the process: the next turn does it all again."""
        try:
            await job()
        except Exception:
            if self._has_lost():
                return
            self._view.store_failures += 1
            _log.exception("the store failed; the next turn tries again")

    # What the workers serve

    async def _publish(self) -> None:
        self._supervisor.publish(await self._thread.run(self._books.snapshots))
        if not self._stop.is_set():
            self._prober.follow(self._books.watched)

    def _pool_specs(self) -> list[PoolSpec]:
        return pool_specs(self._books.settings, self._books.store.clock.parameters(), self._books.files.limit_table)

    async def _apply_pools(self, *, is_shared: bool = False) -> None:
        settings = self._books.settings
        await self._supervisor.apply(self._pool_specs(), is_shared=is_shared)
        self._pools_of = settings

    async def _follow_instances(self) -> None:
        """Pools of instances that were bought over the API, or are gone. What fails is tried again at the next turn."""
        if self._has_started and self._pools_of is not self._books.settings:
            try:
                await self._apply_pools()
            except StartError as error:
                _log.error("an instance that was bought is not served: %s", error)

    async def _reload(self) -> None:
        """Read the file again (SIGHUP); one that is not good changes nothing. Logs are opened anew all the same."""
        self._supervisor.reopen_logs()
        before, store = self._settings, self._books.store
        found = await asyncio.to_thread(read_again, self._config, before, store.catalog, store.price_book)
        if found is None:
            self._view.was_reload_good = False
            return
        settings, waiting = found
        async with self._changing:
            try:
                await self._take_up(settings)
                self._view.was_reload_good = True
                self._view.waiting_settings = waiting
                _log.info("%s is taken up", self._config)
                for name in waiting:
                    _log.warning("%s is not taken up: it changed, and takes effect at the next start", name)
            except Exception as error:
                # An address in use, a store that is away: back to what was.
                self._view.was_reload_good = False
                _log.error("%s is not taken up: %s", self._config, error, exc_info=not isinstance(error, StartError))
                await self._guarded(lambda: self._take_up(before))

    async def _take_up(self, settings: Settings) -> None:
        self._settings = settings
        await self._thread.run(self._books.take_up, settings)
        await self._publish()
        await self._apply_pools()
        self._supervisor.look_at_certificates()

    # For the admin API

    async def ask(self, question: Callable[[Office], T]) -> T:
        return await self._of_store(lambda: question(self._books.store.office))

    async def _of_store(self, job: Callable[[], T]) -> T:
        """Raises Refusal `store_lost`."""
        try:
            if not self._has_lost():
                return await self._thread.run(job)
        except self._wiring.store_lost:
            self._has_lost()
        raise Refusal("store_lost", f"the store is another node's: {self._books.store.ownership.lost_to}")

    async def act(self, action: Callable[[Office], T]) -> T:
        async with self._changing:
            done = await self._of_store(lambda: self._books.act(action))
            try:
                await self._publish()
                await self._follow_instances()
            except Exception:
                # It is committed, and answered so; the next tick publishes it.
                _log.exception("a change is made, and could not be published to the workers")
        if not await self._supervisor.applied(_APPLY_S_MAX):
            _log.warning("not every worker has applied the change after %g s", _APPLY_S_MAX)
        return done

    async def restart(self) -> None:
        """Every worker anew, one at a time in each pool. Raises StartError."""
        _log.info("restarting the workers")
        await self._supervisor.restart()
        _log.info("the workers are restarted")

    def is_ready(self) -> bool:
        has_store = not self._is_lost and not self._stop.is_set()
        return self._has_started and has_store and self._supervisor.is_serving()

    def describe(self) -> dict[str, Any]:
        return self._view.describe(is_ready=self.is_ready())

    async def exposition(self, *, is_openmetrics: bool) -> tuple[bytes, str]:
        return await self._view.exposition(is_openmetrics=is_openmetrics)
