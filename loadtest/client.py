"""A client that counts: what it sent, what was completed, and every byte it read from the socket."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast


@dataclass
class Tally:
    """What one run saw from outside. Bytes are those of the sockets: heads and content."""

    sent: int = 0
    completed: Counter[int] = field(default_factory=Counter)  # by status
    broken: int = 0  # connections that ended with a request in flight
    bytes_sent: int = 0
    bytes_read: int = 0

    @property
    def answered(self) -> int:
        return sum(self.completed.values())

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.sent + other.sent,
            self.completed + other.completed,
            self.broken + other.broken,
            self.bytes_sent + other.bytes_sent,
            self.bytes_read + other.bytes_read,
        )


class _Connection(asyncio.Protocol):
    """One keep-alive connection, one request in flight."""

    def __init__(self, tally: Tally, ended: Callable[[_Connection], None]) -> None:
        self.tally = tally
        self.transport: asyncio.Transport | None = None
        self.is_busy = False
        self._ended = ended
        self._buffer = b""
        self._left = -1  # content bytes to come; -1: the head is awaited
        self._status = 0
        self._closes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes) -> None:
        assert self.transport is not None
        self.is_busy = True
        self.tally.sent += 1
        self.tally.bytes_sent += len(request)
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.tally.bytes_read += len(data)
        if self._left < 0:
            data = self._buffer + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._buffer = data
                return
            head = data[: end + 2].lower()
            self._buffer = b""
            self._status = int(head[9:12])
            at = head.index(b"\r\ncontent-length:") + 17
            self._left = int(head[at : head.index(b"\r", at)])
            self._closes = b"\r\nconnection: close\r\n" in head
            data = data[end + 4 :]
        self._left -= len(data)
        if self._left == 0:
            self._left = -1
            self.is_busy = False
            self.tally.completed[self._status] += 1
            if self._closes and self.transport is not None:
                self.transport.close()
            else:
                self._ended(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.is_busy:
            self.is_busy = False
            self.tally.broken += 1
        self._ended(self)


def get(path: str, *, host: str = "localhost", fields: str = "") -> bytes:
    """A GET request's bytes."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode()


async def drive(
    port: int,
    request: bytes,
    *,
    seconds: float = 0,
    count: int = 0,
    connections: int = 16,
    rate: float = 0,
    host: str = "127.0.0.1",
    progress: Callable[[Tally], None] | None = None,
) -> Tally:
    """Sends ``request`` over keep-alive connections for ``seconds`` or until ``count`` were sent.

    ``rate``: requests a second, spread evenly; 0 sends as fast as answers come. A connection that ends is opened
    again. Returns when everything sent is answered or broken.
    """
    loop = asyncio.get_running_loop()
    tally = Tally()
    stops_at = time.monotonic() + seconds if seconds else float("inf")
    started = time.monotonic()
    idle: list[_Connection] = []
    wake = asyncio.Event()

    def ended(connection: _Connection) -> None:
        if connection.transport is None:
            lost.append(connection)
        elif rate or not may_send():
            idle.append(connection)
        else:
            connection.send(request)
            return
        wake.set()

    def may_send() -> bool:
        return (not count or tally.sent < count) and time.monotonic() < stops_at

    lost: list[_Connection] = []
    live = 0

    async def connect() -> _Connection | None:
        try:
            _, connection = await loop.create_connection(lambda: _Connection(tally, ended), host, port)
        except OSError:
            return None
        return connection

    while may_send() or len(idle) < live:
        while lost:
            gone = lost.pop()
            live -= 1
            if gone in idle:
                idle.remove(gone)
        while live < connections and may_send():
            connection = await connect()
            if connection is None:
                await asyncio.sleep(0.005)  # Nobody listens at this instant: a pace, not a wait for a state.
                continue
            live += 1
            ended(connection)
        due = int((time.monotonic() - started) * rate) - tally.sent if rate else connections
        while idle and due > 0 and may_send():
            connection = idle.pop()
            if connection.transport is not None:  # Else it ended while others were being opened.
                connection.send(request)
                due -= 1
        if progress is not None:
            progress(tally)
        wake.clear()
        try:
            async with asyncio.timeout(0.002 if rate and idle else 0.05):
                await wake.wait()
        except TimeoutError:
            pass
    for connection in idle:
        if connection.transport is not None:
            connection.transport.close()
    return tally
