"""Load at a fixed rate, whatever the answers do: `python -m loadtest.bench.paced`, JSON on stdin, JSON on stdout.

Requests are due at even intervals. Each is sent when it is due, or as soon as a connection is free, and its time counts
from when it was due: a target that stalls answers for everyone it kept waiting, not for one (no coordinated omission).
The client is a loop of its own over sockets: wrk asks as fast as it is answered, and an event loop's timers are whole
milliseconds, which would ask in bursts.
"""

from __future__ import annotations

import ctypes
import gc
import json
import re
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final
from urllib.parse import urlsplit

from loadtest.bench.heads import heads
from loadtest.bench.machine import LOAD_CPU
from loadtest.bench.wrk import Seen

CONNECTIONS: Final = 64
_OVERTIME_S: Final = 5.0  # for what is still under way, or late, when the last request was due
_PR_SET_TIMERSLACK: Final = 29  # prctl(2): a sleep ends up to 50 us late by default, an interval here
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class PacedFailed(Exception):
    """The client ended badly. The message has what it printed."""


@dataclass
class Outcome:
    """``times_ns``: from when a request was due to its whole answer; ``late_ns``: from due to sent."""

    times_ns: list[int] = field(default_factory=list)
    late_ns: list[int] = field(default_factory=list)
    read_bytes: int = 0
    failed: int = 0
    broken: int = 0

    def seen(self, seconds: float) -> Seen:
        return Seen(
            requests=len(self.times_ns),
            requests_per_s=len(self.times_ns) / seconds,
            p50_ms=percentile(self.times_ns, 0.50) / 1e6,
            p99_ms=percentile(self.times_ns, 0.99) / 1e6,
            failed=self.failed,
            broken=self.broken,
            read_bytes_per_s=self.read_bytes / seconds,
            late_p99_ms=percentile(self.late_ns, 0.99) / 1e6,
        )


class Connection:
    """One kept connection, with a request on it or none."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._socket = socket.create_connection(address)
        self._answer = b""
        self.due_ns = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self, head: bytes, due_ns: int) -> None:
        self.due_ns = due_ns
        self._answer = b""
        self._socket.sendall(head)

    def read(self) -> int:
        """Bytes that came; 0: the target closed the connection."""
        data = self._socket.recv(1 << 18)
        self._answer += data
        return len(data)

    @property
    def is_answered(self) -> bool:
        head, end, content = self._answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n") if end else None
        return bool(end) and len(content) >= (int(length[1]) if length else 0)

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


def pace(address: tuple[str, int], asked: Sequence[bytes], rate: float, count: int, connections: int) -> Outcome:
    """Asks ``count`` times, ``rate`` a second. What is not answered in time counts as broken."""
    outcome = Outcome()
    idle = deque(Connection(address) for _ in range(connections))
    busy: list[Connection] = []
    interval_ns, sent = 1e9 / rate, 0
    begun_ns = now_ns = time.monotonic_ns()
    end_ns = begun_ns + int(count * interval_ns + _OVERTIME_S * 1e9)
    while (sent < count or busy) and now_ns < end_ns:
        while sent < count and idle and begun_ns + sent * interval_ns <= now_ns:
            connection = idle.popleft()
            due_ns = begun_ns + int(sent * interval_ns)
            try:
                connection.ask(asked[sent % len(asked)], due_ns)
            except OSError:
                outcome.broken += 1
                connection.renew()
                idle.append(connection)
            else:
                outcome.late_ns.append(now_ns - due_ns)
                busy.append(connection)
            sent += 1
            now_ns = time.monotonic_ns()
        next_ns = begun_ns + sent * interval_ns if sent < count and idle else end_ns
        ready, _, _ = select.select(busy, (), (), max(0.0, next_ns - now_ns) / 1e9)
        now_ns = time.monotonic_ns()
        for connection in ready:
            _take(connection, now_ns, outcome, busy, idle)
    outcome.broken += count - sent + len(busy)
    for connection in (*idle, *busy):
        connection.close()
    return outcome


def _take(
    connection: Connection, now_ns: int, outcome: Outcome, busy: list[Connection], idle: deque[Connection]
) -> None:
    try:
        size = connection.read()
    except OSError:
        size = 0
    outcome.read_bytes += size
    if size and not connection.is_answered:
        return
    if size:
        outcome.times_ns.append(now_ns - connection.due_ns)
        outcome.failed += not connection.is_success
    else:
        outcome.broken += 1
        connection.renew()
    busy.remove(connection)
    idle.append(connection)


def run(url: str, path: str, rate: float, seconds: float, connections: int = CONNECTIONS) -> Seen:
    """Loads ``url`` (scheme http, host, port) from a process of its own on the load's CPU. Raises PacedFailed."""
    task = {"url": url, "path": path, "rate": rate, "seconds": seconds, "connections": connections}
    argv = ["taskset", "-c", str(LOAD_CPU), sys.executable, "-m", "loadtest.bench.paced"]
    try:
        done = subprocess.run(
            argv, input=json.dumps(task), capture_output=True, text=True, timeout=seconds + _OVERTIME_S + 30
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
    asked = heads(task["path"], parts.netloc)
    count = max(1, round(task["rate"] * task["seconds"]))
    gc.freeze()
    gc.disable()
    outcome = pace((parts.hostname, parts.port), asked, task["rate"], count, task["connections"])
    json.dump(asdict(outcome.seen(task["seconds"])), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
