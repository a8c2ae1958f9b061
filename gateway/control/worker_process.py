"""One worker process as the control process sees it: its channel, its state, its end.

The channel is a stream socket pair with one JSON document per line. To the worker: ``snapshot``, ``targets``,
``certificates``, ``drain``. From it: ``ready``, ``beat``, ``applied``, ``ejected``, ``returned``. Sockets of
other slots go over a pair of their own (gateway/handover.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import orjson

from gateway.compiled import worker_environment
from gateway.control.pools import PoolSpec
from gateway.control.watchdog import Thread, Watchdog
from gateway.handover import handover_pair, send

_log = logging.getLogger(__name__)

# Bounds of the channel: one line from a worker, and what may wait for a worker that does not read.
_LINE_BYTES_MAX = 64 * 1024
_UNSENT_BYTES_MAX = 16 * 1024 * 1024
# What a worker reads as one line (CHANNEL_LINE_BYTES_MAX there), less the message around the list.
_TARGETS_BYTES_MAX = 16 * 1024 * 1024 - 1024


class Snapshot(NamedTuple):
    """A routing snapshot on the disk. Versions only grow, over restarts too."""

    version: int
    path: Path


def targets_message(down: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The whole list of targets that are down, as far as one line of the channel holds it.

    A worker that got a longer one would end, as would its successor. To one that is left out it goes on sending, until
    it ejects it by itself.
    """
    size, kept = 0, 0
    for service, url in down:
        size += len(orjson.dumps((service, url))) + 1
        if size > _TARGETS_BYTES_MAX:
            _log.error("workers are told of %d of the %d targets that are down: one message holds no more",
                       kept, len(down))  # fmt: skip
            break
        kept += 1
    return {"do": "targets", "down": list(down[:kept])}


Listener = Callable[["WorkerProcess", dict[str, Any]], None]


class WorkerProcess(asyncio.Protocol):
    """A started worker. ``exited`` resolves to its exit status (negative: the signal) once it is reaped."""

    def __init__(self, spec: PoolSpec, slot: int, writer: str, on_message: Listener) -> None:
        self.spec = spec
        self.slot = slot
        self.writer = writer
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.ready_at: float | None = None  # monotonic
        self.applied_version = 0
        self.told_version = 0
        self.is_draining = False
        self.is_stopping = False
        self._watchdog = Watchdog()
        self._handovers: socket.socket | None = None
        self._boot_version = 0
        self._on_message = on_message
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._transport: asyncio.WriteTransport | None = None
        self._received = b""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process is not None and not self.exited.done()

    @property
    def lived_s(self) -> float:
        return 0.0 if self.ready_at is None else time.monotonic() - self.ready_at

    async def start(self, command: Sequence[str], listeners: Sequence[socket.socket], snapshot: Snapshot) -> None:
        """Run the worker. Raises OSError when the machine cannot."""
        self._boot_version = self.told_version = snapshot.version
        ours, theirs = socket.socketpair()
        self._handovers, handovers = handover_pair()
        try:
            fds = [listener.fileno() for listener in listeners]
            boot = self.spec.boot(self.slot, self.writer, theirs.fileno(), fds, snapshot.path, handovers.fileno())
            # A session of its own: Ctrl-C in a terminal reaches the control process alone, which drains in order.
            self._process = subprocess.Popen(  # noqa: ASYNC220  (a fork of some ms; awaits would open a race with death)
                [*command, orjson.dumps(boot).decode()],
                stdin=subprocess.DEVNULL,
                env=worker_environment(is_traced=self.spec.tracing is not None),
                pass_fds=(theirs.fileno(), handovers.fileno(), *fds),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            self._handovers.close()
            raise
        finally:
            theirs.close()
            handovers.close()
        loop = asyncio.get_running_loop()
        try:
            self._pidfd = os.pidfd_open(self._process.pid)
        except OSError:
            # No descriptor to watch it by: it does not stay, for nobody would know of it.
            self._process.kill()
            self._process.wait()
            ours.close()
            self._handovers.close()
            raise
        loop.add_reader(self._pidfd, self._reap)
        ours.setblocking(False)
        await loop.create_connection(lambda: self, sock=ours)

    def tell(self, message: dict[str, Any]) -> bool:
        """Send one message. False: a worker that is gone, or has stopped reading, is not told."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() > _UNSENT_BYTES_MAX:
            _log.error("worker %s does not read its channel", self.writer)
            return False
        transport.write(orjson.dumps(message) + b"\n")
        return True

    def lend(self, slot: int, listeners: Sequence[socket.socket]) -> bool:
        """Have it accept from another slot's sockets too. False: it cannot be told."""
        return self._handovers is not None and send(self._handovers, slot, listeners)

    def take_back(self, slot: int) -> None:
        if self._handovers is not None:
            send(self._handovers, slot)

    def is_hung(self, passed_s: float) -> bool:
        """Look how it fares; ``passed_s``: since the last look."""
        self._watchdog.looked(passed_s, Thread.of(self.pid))
        return self._watchdog.is_hung

    def drain(self) -> None:
        """Ask it to stop accepting, finish what is in flight, and exit."""
        if not self.is_draining:
            self.is_draining = True
            self.tell({"do": "drain"})

    def stop(self) -> None:
        """Drain it, where nothing comes after it: connections at rest close soon. One that drains already too."""
        if not self.is_stopping:
            self.is_draining = self.is_stopping = True
            self.tell({"do": "drain", "stop": True})

    def kill(self) -> None:
        if self.is_alive and self._process is not None:
            self._process.send_signal(signal.SIGKILL)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._receive(line)
        if len(self._received) > _LINE_BYTES_MAX:
            _log.error("worker %s: a message without end on its channel", self.writer)
            self._received = b""

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None

    def _receive(self, line: bytes) -> None:
        try:
            message = orjson.loads(line)
            at = message["at"]
        except (ValueError, KeyError, TypeError):
            _log.error("worker %s: not a message: %.200r", self.writer, line)
            return
        self._watchdog.heard()
        if at == "beat":
            return
        if at == "ready":
            # Ready means that it serves by the snapshot it was started with.
            self.ready_at = time.monotonic()
            self.applied_version = max(self.applied_version, self._boot_version)
        elif at == "applied":
            self.applied_version = int(message.get("version", 0))
        self._on_message(self, message)

    def _reap(self) -> None:
        assert self._process is not None
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        status = self._process.wait()
        if self._handovers is not None:
            self._handovers.close()
            self._handovers = None
        if self._transport is not None:
            with contextlib.suppress(OSError):
                self._transport.close()
        if not self.exited.done():
            self.exited.set_result(status)
