"""A data-plane worker: one process, one loop, the request path and nothing else.

Started by the control process as ``python -m gateway.worker BOOT`` with its listening sockets and one end of a
channel inherited. It outlives the control process: end of file on the channel changes nothing but news.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Generator
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson
import uvloop

from config.certificates import CertificateError
from gateway.bounded_log import bound_log
from gateway.entry.entry import Entry
from gateway.entry.lent_entries import LentEntries
from gateway.handover import arrivals
from gateway.limits.quota import QuotaHandles
from gateway.limits.table import LimitTable
from gateway.proxy.access_log import AccessLog
from gateway.proxy.client_address import network
from gateway.proxy.core import SWEEP_INTERVAL_S, ClientBounds, Core
from gateway.proxy.revocation import Revocation
from gateway.proxy.router_builder import RouterBuilder
from gateway.proxy.target import Target
from gateway.proxy.target_book import TargetBook
from gateway.proxy.tracer import Tracer
from gateway.snapshot_file import SnapshotFile
from metering.clock import VirtualClock
from metering.counter_file import sync
from metering.meter import Meter

if TYPE_CHECKING:
    from gateway.span_export import SpanExport

# How soon a changed certificate is seen. A look is a system call for each file, on a thread.
CERTIFICATE_INTERVAL_S: Final = 2.0
NAMES_INTERVAL_S: Final = 1.0  # how soon connections follow what is known of their names
BEAT_INTERVAL_S: Final = 1.0  # what the control process takes for a sign of life (gateway/control/watchdog.py)
BEATS_UNREAD_BYTES_MAX: Final = 64 * 1024  # of a control process that stopped reading: it needs no more of them
TURN_INTERVAL_S: Final = 1.0  # also what a power loss can take of the counts
CUT_TURNS_MAX: Final = 1000  # of the loop, for cut connections to end: some is what it takes
CHANNEL_LINE_BYTES_MAX: Final = 16 * 1024 * 1024  # The list of 100,000 targets that are down is one line.
SLICE_S: Final = 0.002  # Requests wait for no more of a snapshot's building at a time, and a service.
FREEZE_SERVICES: Final = 64
DRAIN_POLL_S: Final = 0.02
STOP_GRACE_S: Final = 1.0  # for requests that are on their way over connections at rest, where the node stops
log = logging.getLogger("tollgate.worker")
T = TypeVar("T")


class Worker:
    """Holds what lives as long as the process."""

    def __init__(self, boot: dict[str, Any], loop: asyncio.AbstractEventLoop) -> None:
        self._boot = boot
        self._loop = loop
        clock = VirtualClock.from_parameters(boot["clock"])
        self._meter = Meter(Path(boot["data_dir"]) / "counters", boot["writer"], clock)
        bounds = boot["client"]
        self._core = Core(
            loop,
            self._meter,
            ClientBounds(
                head_timeout_s=bounds["head_timeout"],
                body_timeout_s=bounds["body_timeout"],
                idle_timeout_s=bounds["idle_timeout"],
                head_bytes_max=bounds["head_max"],
                fields_max=bounds["fields_max"],
                target_bytes_max=bounds["target_max"],
                keeps_lookalikes=bounds["underscore_fields"] == "keep",
                body_rate_min=bounds["body_rate_min"],
                connections_max=bounds["connections_max"],
                address_connections_max=bounds["address_connections_max"],
            ),
            tuple(network(cidr) for cidr in boot["trusted_proxies"]),
        )
        if boot["access_log"] is not None:
            self._core.access_log = AccessLog(loop, boot["access_log"])
        self._spans: SpanExport | None = None
        if boot["tracing"] is not None:
            # Here, for it is an extra, and the modules behind it take 14 MiB.
            from gateway.span_export import open_export

            self._core.tracer = Tracer(boot["tracing"]["sample"], boot["tracing"]["queue_max"])
            self._spans = open_export(self._core.tracer, boot)
        self._revocation = Revocation(self._core, boot["drain_s"])
        self._targets = TargetBook(self._tell_of_target)
        limits = Path(boot["limits"])
        self._builder = RouterBuilder(
            LimitTable.open(limits), boot["workers"], self._meter.row, self._targets, QuotaHandles(limits, clock)
        )
        self._services_frozen = 0
        self._entries: list[Entry] = []
        self._lent = LentEntries(self._core, boot["listeners"])
        self._look = asyncio.Event()  # set: the certificates are looked at now
        self._channel: asyncio.StreamWriter | None = None
        self._stop = asyncio.Event()
        self._rest_ends_s = inf  # when connections at rest close, of a node that stops

    async def run(self) -> None:
        """Serves until drained."""
        await self._apply(Path(self._boot["snapshot"]))
        gc.collect()  # Once, before anybody waits.
        gc.freeze()
        for listener in self._boot["listeners"]:
            await self._listen(listener)
        self._loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        self._loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C is the control process's to handle.
        channel = socket.socket(fileno=self._boot["channel_fd"])
        reader, self._channel = await asyncio.open_unix_connection(sock=channel, limit=CHANNEL_LINE_BYTES_MAX)
        self._tell({"at": "ready", "pid": os.getpid()})
        await self._serve(reader)
        if self._core.access_log is not None:
            await self._core.access_log.close()
        if self._spans is not None:
            await asyncio.to_thread(self._spans.close)
            self._count_spans()
        self._meter.close()

    async def _serve(self, reader: asyncio.StreamReader) -> None:
        async with asyncio.TaskGroup() as tasks:
            jobs = [
                tasks.create_task(self._hear(reader), name="channel"),
                tasks.create_task(self._help_out(), name="handovers"),
                tasks.create_task(self._beat(), name="beat"),
                tasks.create_task(self._turn_hours(), name="hours"),
                tasks.create_task(self._sweep(), name="sweep"),
                tasks.create_task(self._watch_certificates(), name="certificates"),
            ]
            await self._stop.wait()
            await self._drain()
            for job in jobs:
                job.cancel()

    async def _apply(self, path: Path) -> None:
        """Swaps the snapshot between requests. What is under way goes on, where the new one would let it begin too."""
        file = SnapshotFile(path)
        router = await self._in_slices(self._builder.build(file))
        self._core.route_by(router, self._builder.least_timeout_s)
        await self._revocation.look_again(self._builder.serving)
        await self._in_slices(self._builder.discard())
        self._tell({"at": "applied", "version": file.version})

    async def _in_slices(self, steps: Generator[None, None, T]) -> T:
        """Goes through the steps; requests are served between slices of them."""
        ends_s = time.monotonic() + SLICE_S
        while True:
            try:
                next(steps)
            except StopIteration as end:
                made: T = end.value
                return made
            if time.monotonic() > ends_s:
                self._freeze_what_was_made()
                await asyncio.sleep(0)
                ends_s = time.monotonic() + SLICE_S

    def _freeze_what_was_made(self) -> None:
        """Routes are long-lived: the collector need not walk them (0.6 s for 200,000, with everybody waiting).

        Only after many, as what happens to be garbage in a cycle at that instant is frozen too, and stays.
        """
        if self._builder.services_made - self._services_frozen >= FREEZE_SERVICES:
            self._services_frozen = self._builder.services_made
            gc.freeze()

    async def _listen(self, listener: dict[str, Any]) -> None:
        entry = Entry(self._core, listener)
        await entry.open()
        self._entries.append(entry)

    async def _watch_certificates(self) -> None:
        """Off the request path, and without the control process: certificates are renewed while it is away too."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), CERTIFICATE_INTERVAL_S)
            self._look.clear()
            for entry in [*self._entries, *self._lent]:
                try:
                    await entry.renew()
                except OSError:
                    # Out of descriptors, say: what was there goes on, the next turn tries again.
                    log.exception("the certificates of an entry were not looked at")

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            message = orjson.loads(line)
            if message["do"] == "snapshot":
                try:
                    await self._apply(Path(message["path"]))
                except Exception:
                    # The snapshot before goes on serving; the control process sees that none was applied.
                    log.exception("snapshot %s was not applied", message["version"])
            elif message["do"] == "targets":
                self._targets.set_down({(service, url) for service, url in message["down"]})
            elif message["do"] == "certificates":
                self._look.set()
            elif message["do"] == "reopen" and self._core.access_log is not None:
                self._core.access_log.reopen()
            elif message["do"] == "drain":
                if message.get("stop"):
                    self._rest_ends_s = min(self._rest_ends_s, time.monotonic() + STOP_GRACE_S)
                self._stop.set()
        self._channel = None  # The control process is gone; its successor will ask us to drain by signal.

    async def _help_out(self) -> None:
        """Other slots' sockets come and go. What is lent when the control process dies is nobody else's, and stays."""
        if (descriptor := self._boot.get("handover_fd")) is None:
            return
        with socket.socket(fileno=descriptor) as channel:
            async for handover in arrivals(channel):
                await self._lent.take(handover)

    async def _beat(self) -> None:
        """Says that the loop turns."""
        while True:
            await asyncio.sleep(BEAT_INTERVAL_S)
            if self._channel is not None and self._channel.transport.get_write_buffer_size() < BEATS_UNREAD_BYTES_MAX:
                self._tell({"at": "beat"})

    def _tell(self, message: dict[str, Any]) -> None:
        if self._channel is not None:
            self._channel.write(orjson.dumps(message) + b"\n")

    def _tell_of_target(self, at: str, target: Target) -> None:
        log.warning("target %s of service %s %s", target.url, target.place.service, at)
        self._tell({"at": at, "service": target.place.service, "target": target.url})

    async def _turn_hours(self) -> None:
        """Hours turn on time, and counts go to the disk each second, on a thread: a slow disk holds up nothing."""
        writing: asyncio.Future[None] | None = None
        while True:
            await asyncio.sleep(min(TURN_INTERVAL_S, max(0.001, self._meter.seconds_to_turn())))
            self._meter.turn(lambda: self._core.close_hour(self._builder.rows))
            if writing is None or writing.done():
                if writing is not None and (error := writing.exception()) is not None:
                    log.error("counts did not reach the disk: %s", error)
                writing = self._loop.run_in_executor(None, sync, self._meter.unsynced())

    async def _sweep(self) -> None:
        names_due_s = 0.0
        while True:
            await self._core.sweep()
            await self._revocation.sweep()
            if self._core.now_s >= names_due_s:
                names_due_s = self._core.now_s + NAMES_INTERVAL_S
                self._targets.follow_names()
            if self._core.access_log is not None:
                self._core.access_log.flush()
            self._count_spans()
            self._freeze_what_was_made()
            await self._pass_deadlines(time.monotonic() + SWEEP_INTERVAL_S)

    async def _pass_deadlines(self, until_s: float) -> None:
        """Waits, and passes on the way what deadlines are too short to wait as long."""
        while (left_s := until_s - time.monotonic()) > 0:
            interval_s = self._core.sweep_interval_s
            await asyncio.sleep(min(left_s, interval_s))
            if interval_s < left_s:
                await self._core.pass_deadlines()

    def _count_spans(self) -> None:
        if self._core.tracer is not None:
            self._core.tracer.count(self._meter, self._core.anonymous_row)

    async def _drain(self) -> None:
        """Accepts nothing more, lets clients end by themselves, and leaves by the drain time at the latest.

        A connection at rest stays: a request may be on its way, and to close now would lose it. Its next answer says
        `Connection: close`; one that asks nothing more is closed by its idle timeout, or when the drain time ends.
        Where the node stops nobody will serve it any more, and who stops it waits: it stays for STOP_GRACE_S.
        """
        core = self._core
        core.is_draining = True
        for entry in self._entries:
            entry.close()
        self._lent.close()
        ends_s = time.monotonic() + self._boot["drain_s"]
        # Polled, so that a connection that ends has nobody to tell.
        while (now_s := time.monotonic()) < ends_s and (
            core.clients or not all(entry.is_at_rest for entry in [*self._entries, *self._lent])
        ):
            if now_s >= self._rest_ends_s:
                self._close_rest()
                for entry in self._entries:
                    entry.let_go_of_silent()
            await asyncio.sleep(DRAIN_POLL_S)
        self._close_rest()
        await asyncio.sleep(0)
        core.outbox.flush()
        for client in list(core.clients):
            client.transport.abort()
        for upstream in list(core.upstreams):
            upstream.abort()
        for _ in range(CUT_TURNS_MAX):
            if not (core.clients or core.upstreams):
                break
            await asyncio.sleep(0)  # connection_lost meters what was cut; of TLS it comes some turns later.

    def _close_rest(self) -> None:
        """Connections at rest, in order; those within a request or before one that has begun go on."""
        for client in list(self._core.clients):
            client.drain()


def _open_what_may_be() -> None:
    """A connection is a descriptor, and the usual soft limit of 1,024 is for programs that call select(2)."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError) as error:
        log.warning("the limit of open files stays as it is: %s", error)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    os.umask(0o077)  # as of the control process: counts and logs are nobody else's
    bound = bound_log()
    boot = orjson.loads(sys.argv[1])
    _open_what_may_be()
    # Requests make no cycles; collecting rarely keeps the collector out of the tail latency.
    gc.set_threshold(100_000, 50, 100)

    async def run() -> None:
        await Worker(boot, asyncio.get_running_loop()).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(run())
        except CertificateError as error:
            log.error("an entry cannot be served: %s", error)
            return 1
        except OSError as error:
            log.error("cannot start: %s", error)
            return 1
        # Everything that lasts is in files by now; to tear down 200,000 routes object by object takes 2 s.
        bound.tell()
        logging.shutdown()
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
