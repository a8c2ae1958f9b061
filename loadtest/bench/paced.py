"""Load at a fixed rate, whatever the answers do: `python -m loadtest.bench.paced`, JSON on stdin, JSON on stdout.

Requests are due at even intervals. Each is sent when it is due, or as soon as a connection is free, and its time counts
from when it was due: a target that stalls answers for everyone it kept waiting, not for one (no coordinated omission).
The client is a loop of its own over sockets: wrk asks as fast as it is answered, and an event loop's timers are whole
milliseconds, which would ask in bursts. It says how late it was itself, where it had a connection to ask on: that is
part of the times, and not the target's.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Final
from urllib.parse import urlsplit

from loadtest.bench.heads import heads
from loadtest.bench.machine import LOAD_CPU, come_first
from loadtest.bench.paced_origin import PacedOrigin
from loadtest.bench.ticker import Ticker
from loadtest.bench.wrk import Seen

CONNECTIONS: Final = 64
IDLE: Final = -1
TICK_NS_MIN: Final = 100_000  # A timer for each request would take the client, of which there is one, to its end.
AWAY_NS_MIN: Final = 2_000_000  # so long it is not at work on what came: it does not have its CPU
_EVENTS_MAX: Final = 2 * CONNECTIONS  # at a time
_OVERTIME_S: Final = 5.0  # for what is still under way, or late, when the last request was due
_PR_SET_TIMERSLACK: Final = 29  # prctl(2): a sleep ends up to 50 us late by default, an interval here
_READ_BYTES: Final = 64 * 1024
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class PacedFailed(Exception):
    """The client ended badly. The message has what it printed."""


@dataclass
class Outcome:
    """``times_ns``: from when a request was due to its whole answer.

    ``late_ns``: from when it was due and a connection was free, to when it was sent. ``away_ns``: during which the
    client looked at nothing for longer than its work can take.
    ``answered`` are all, those of the warm-up too, which is left out of everything else but what failed.
    """

    times_ns: list[int] = field(default_factory=list)
    late_ns: list[int] = field(default_factory=list)
    away_ns: int = 0
    read_bytes: int = 0
    answered: int = 0
    failed: int = 0
    broken: int = 0

    def seen(self, seconds: float) -> Seen:
        return Seen(
            requests=self.answered,
            requests_per_s=len(self.times_ns) / seconds,
            p50_ms=percentile(self.times_ns, 0.50) / 1e6,
            p99_ms=percentile(self.times_ns, 0.99) / 1e6,
            failed=self.failed,
            broken=self.broken,
            read_bytes_per_s=self.read_bytes / seconds,
            late_p99_ms=percentile(self.late_ns, 0.99) / 1e6,
            away=self.away_ns / 1e9 / seconds,
        )


class Connection:
    """One kept connection. ``due_ns``: of the request on it; IDLE: there is none."""

    __slots__ = ("_address", "_answer", "_socket", "_usual_bytes", "due_ns")

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._socket = socket.create_connection(address)
        self._answer = b""
        self._usual_bytes = 0  # of the answer before: one that has as many is whole, and need not be looked at
        self.due_ns = IDLE

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self, head: bytes, due_ns: int) -> None:
        self.due_ns = due_ns
        self._answer = b""
        self._socket.sendall(head)

    def read(self) -> int:
        """Bytes that came; 0: the target closed the connection."""
        data = self._socket.recv(_READ_BYTES)
        self._answer = self._answer + data if self._answer else data
        return len(data)

    @property
    def is_answered(self) -> bool:
        if len(self._answer) == self._usual_bytes:
            return True
        head, end, content = self._answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n") if end else None
        if not end or len(content) < (int(length[1]) if length else 0):
            return False
        self._usual_bytes = len(self._answer)
        return True

    @property
    def is_success(self) -> bool:
        return self._answer[9:10] in (b"2", b"3")

    def renew(self) -> None:
        self._socket.close()
        self._socket = socket.create_connection(self._address)

    def close(self) -> None:
        self._socket.close()


def percentile(values: Sequence[int], share: float) -> float:
    """The smallest value that so large a share of the values does not exceed; 0 where there is none."""
    return sorted(values)[max(0, -int(-share * len(values) // 1) - 1)] if values else 0.0


class _Client:
    """Connections that are idle, or busy with a request, and what came of all."""

    def __init__(self, address: tuple[str, int], connections: int, ticker: Ticker, origin_port: int) -> None:
        self.outcome = Outcome()
        self.counted_from_ns = 0
        self.idle: deque[Connection] = deque()
        self._free_since_ns = 0  # when there was none before
        self._poller = select.epoll()
        self._poller.register(ticker, select.EPOLLIN)
        self._ticker, self._ticker_fd = ticker, ticker.fileno()
        self._by_fd: dict[int, Connection] = {}
        self._origin = PacedOrigin(origin_port, self._poller) if origin_port else None
        for _ in range(connections):
            self._hold(Connection(address))

    @property
    def busy(self) -> int:
        """Connections that wait for an answer."""
        return len(self._by_fd) - len(self.idle)

    def _hold(self, connection: Connection) -> None:
        fd = connection.fileno()
        self._by_fd[fd] = connection
        self._poller.register(fd, select.EPOLLIN)
        self.idle.append(connection)

    def ask(self, head: bytes, due_ns: int, now_ns: int) -> None:
        """On the connection that has rested longest."""
        connection = self.idle.popleft()
        try:
            connection.ask(head, due_ns)
        except OSError:
            self._broke(connection)
            return
        if due_ns >= self.counted_from_ns:
            self.outcome.late_ns.append(now_ns - max(due_ns, self._free_since_ns))

    def take(self) -> None:
        """What has come, or comes until the next tick."""
        events = self._poller.poll(-1, _EVENTS_MAX)
        now_ns = time.monotonic_ns()
        for fd, _ in events:
            connection = self._by_fd.get(fd)
            if connection is not None:
                self._read(connection, now_ns)
            elif fd == self._ticker_fd:
                away_ns = self._ticker.go_on() * self._ticker.interval_ns
                if away_ns > AWAY_NS_MIN and now_ns >= self.counted_from_ns:
                    self.outcome.away_ns += away_ns
            elif self._origin is not None:
                self._origin.serve(fd)

    def _read(self, connection: Connection, now_ns: int) -> None:
        try:
            size = connection.read()
        except OSError:
            size = 0
        due_ns = connection.due_ns
        if size == 0 or due_ns == IDLE:
            if due_ns == IDLE:
                self.idle.remove(connection)  # It was closed at rest, or spoke unasked.
            self._broke(connection)
            return
        is_counted = due_ns >= self.counted_from_ns
        if is_counted:
            self.outcome.read_bytes += size
        if not connection.is_answered:
            return
        if is_counted:
            self.outcome.times_ns.append(now_ns - due_ns)
        self.outcome.answered += 1
        self.outcome.failed += not connection.is_success
        self._rest(connection, now_ns)

    def _rest(self, connection: Connection, now_ns: int) -> None:
        connection.due_ns = IDLE
        if not self.idle:
            self._free_since_ns = now_ns
        self.idle.append(connection)

    def _broke(self, connection: Connection) -> None:
        self.outcome.broken += 1
        fd = connection.fileno()
        self._poller.unregister(fd)
        del self._by_fd[fd]
        connection.renew()
        connection.due_ns = IDLE
        self._hold(connection)

    def close(self) -> None:
        for connection in self._by_fd.values():
            connection.close()
        if self._origin is not None:
            self._origin.close()
        self._poller.close()


def pace(
    address: tuple[str, int],
    asked: Sequence[bytes],
    rate: float,
    count: int,
    connections: int,
    origin_port: int = 0,
    warm_up: int = 0,
) -> Outcome:
    """Asks ``count`` times, ``rate`` a second. What is not answered in time counts as broken.

    ``origin_port``: where the target's origin is to be, in this loop; 0: it is elsewhere. The first ``warm_up`` of them
    find no connections upstream: they are no part of the times.
    """
    interval_ns, sent = 1e9 / rate, 0
    with closing(Ticker(max(TICK_NS_MIN, int(interval_ns)))) as ticker:
        client = _Client(address, connections, ticker, origin_port)
        idle = client.idle
        begun_ns = now_ns = time.monotonic_ns()
        end_ns = begun_ns + int(count * interval_ns + _OVERTIME_S * 1e9)
        client.counted_from_ns = begun_ns + int(warm_up * interval_ns)
        while (sent < count or client.busy) and now_ns < end_ns:
            while sent < count and idle and begun_ns + sent * interval_ns <= now_ns:
                client.ask(asked[sent % len(asked)], begun_ns + int(sent * interval_ns), now_ns)
                sent += 1
                now_ns = time.monotonic_ns()
            client.take()
            now_ns = time.monotonic_ns()
        client.outcome.broken += count - sent + client.busy
        client.close()
    return client.outcome


def run(
    url: str,
    path: str,
    rate: float,
    seconds: float,
    connections: int = CONNECTIONS,
    origin_port: int = 0,
    warm_up_s: float = 0.0,
) -> Seen:
    """Loads ``url`` (scheme http, host, port) from a process of its own on the load's CPU. Raises PacedFailed."""
    task = {
        "url": url,
        "path": path,
        "rate": rate,
        "seconds": seconds,
        "connections": connections,
        "origin_port": origin_port,
        "warm_up_s": warm_up_s,
    }
    argv = ["taskset", "-c", str(LOAD_CPU), sys.executable, "-m", "loadtest.bench.paced"]
    try:
        done = subprocess.run(
            argv, input=json.dumps(task), capture_output=True, text=True, timeout=seconds + warm_up_s + _OVERTIME_S + 30
        )
    except subprocess.TimeoutExpired as error:
        raise PacedFailed(f"the paced client did not end in time: {error}") from None
    if done.returncode != 0:
        raise PacedFailed(f"the paced client ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return Seen(**json.loads(done.stdout))


def main() -> int:
    task = json.load(sys.stdin)
    parts = urlsplit(task["url"])
    assert parts.hostname is not None and parts.port is not None
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    # Else whatever wakes on this CPU takes its time slice first, and all that is due meanwhile is late.
    come_first((os.getpid(),))
    asked = heads(task["path"], parts.netloc)
    warm_up = round(task["rate"] * task["warm_up_s"])
    count = max(1, round(task["rate"] * task["seconds"])) + warm_up
    gc.freeze()
    gc.disable()
    address = parts.hostname, parts.port
    outcome = pace(address, asked, task["rate"], count, task["connections"], task["origin_port"], warm_up)
    json.dump(asdict(outcome.seen(task["seconds"])), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
