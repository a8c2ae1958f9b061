"""The one beside an attack: ``python -m loadtest.abuse.victim --port P --worker PID``. A process of its own.

A small GET each 10 ms over a connection of its own. What was due while an answer was awaited is not sent, and stands
in the samples with the time from when it was due to that answer: else a node that stands still for a second would have
one slow request, and not a hundred. How late the victim was woken is kept apart, and so is how long it, and the worker,
were ready to run and had no CPU: what a busy machine does is not the node's doing. Ends at the end of its standard
input, and prints its samples.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import ssl
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

from loadtest.abuse.attack import trusting

INTERVAL_S: Final = 0.01
ANSWER_S_MAX: Final = 10.0
LENGTH: Final = 200  # bytes of content
REQUEST: Final = b"GET /calm/bytes/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % LENGTH
_STAT_BYTES: Final = 64


class Sample(NamedTuple):
    """A request. ``due_s`` is of the monotonic clock; ``error`` is empty where it was answered 200."""

    due_s: float
    took_ms: float
    late_ms: float  # the victim's own waking
    waited_ms: float  # for a CPU, the victim and the worker together
    error: str
    bytes_read: int
    is_asked: bool = True  # False: it was due while the answer before it was awaited

    @property
    def own_ms(self) -> float:
        """What is left for the node to answer for."""
        return max(0.0, self.took_ms - self.waited_ms)


class Waiting:
    """How long a process's first thread was ready to run and had no CPU; 0 of one that is gone, or where none tells."""

    def __init__(self, pid: int) -> None:
        try:
            self._file = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY)
        except OSError:
            self._file = -1

    def ms(self) -> float:
        try:
            return int(os.pread(self._file, _STAT_BYTES, 0).split()[1]) / 1e6
        except (OSError, IndexError):
            return 0.0


@dataclass
class _Connection:
    socket: socket.socket | ssl.SSLSocket

    @classmethod
    def open(cls, port: int, *, is_tls: bool) -> Self:
        plain = socket.create_connection(("127.0.0.1", port), ANSWER_S_MAX)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(trusting().wrap_socket(plain, server_hostname="localhost") if is_tls else plain)

    def ask(self) -> int:
        """The bytes of the answer. Raises OSError where it is no 200, or none."""
        self.socket.sendall(REQUEST)
        data = b""
        while True:
            piece = self.socket.recv(65_536)
            if not piece:
                raise ConnectionResetError("closed without an answer")
            data += piece
            head, found, content = data.partition(b"\r\n\r\n")
            if found and not head.startswith(b"HTTP/1.1 200 "):
                raise ConnectionError(f"status {head[9:12].decode()}")
            if found and len(content) >= LENGTH:
                return len(data)


class Victim:
    def __init__(self, port: int, worker: int, *, is_tls: bool) -> None:
        self.samples: list[Sample] = []
        self._port, self._is_tls = port, is_tls
        self._waiting = Waiting(os.getpid()), Waiting(worker)
        self._connection: _Connection | None = None

    def run(self, ends: threading.Event) -> None:
        due_s = time.monotonic()
        while not ends.is_set():
            due_s += INTERVAL_S
            time.sleep(max(0.0, due_s - time.monotonic()))
            waited_before = self._waited_ms()
            began_s = time.monotonic()
            error, bytes_read = self._ask()
            ended_s = time.monotonic()
            waited_ms = max(0.0, self._waited_ms() - waited_before)  # Less of a worker that died meanwhile.
            took_ms, late_ms = (ended_s - began_s) * 1e3, (began_s - due_s) * 1e3
            self.samples.append(Sample(due_s, took_ms, late_ms, min(took_ms, waited_ms), error, bytes_read))
            while due_s + INTERVAL_S < ended_s:
                due_s += INTERVAL_S
                took_ms = (ended_s - due_s) * 1e3
                self.samples.append(Sample(due_s, took_ms, 0.0, min(took_ms, waited_ms), "", 0, is_asked=False))

    def _waited_ms(self) -> float:
        return sum(one.ms() for one in self._waiting)

    def _ask(self) -> tuple[str, int]:
        try:
            if self._connection is None:
                self._connection = _Connection.open(self._port, is_tls=self._is_tls)
            return "", self._connection.ask()
        except OSError as error:
            if self._connection is not None:
                self._connection.socket.close()
            self._connection = None
            return str(error) or type(error).__name__, 0


def samples_of(document: list[list[Any]]) -> list[Sample]:
    return [Sample(*row) for row in document]


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--port", type=int, required=True)
    ask.add_argument("--worker", type=int, required=True, help="its pid, to see what it waits for a CPU")
    ask.add_argument("--tls", action="store_true")
    ask.add_argument("--seconds", type=float, default=300.0, help="at the most")
    given = ask.parse_args()
    ends = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        ends.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    threading.Timer(given.seconds, ends.set).start()
    victim = Victim(given.port, given.worker, is_tls=given.tls)
    victim.run(ends)
    print(json.dumps(victim.samples), flush=True)
    os._exit(0)  # A thread may wait for its standard input still.


if __name__ == "__main__":
    sys.exit(main())
