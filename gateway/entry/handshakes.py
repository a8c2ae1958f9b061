"""TLS handshakes, one in a turn of the loop: each is a millisecond of the CPU, and everybody waits for it.

A connection waits as a plain socket until its ClientHello is there, whole, so that the silent cost nothing but a
descriptor, and handshakes that come by the hundred begin in turn.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

from gateway.entry.client_hello import HELLO_BYTES_MAX, NO_HELLO, bytes_awaited

TOGETHER_MAX: Final = 1

Begin = Callable[[socket.socket, float], None]  # the connection, and how many seconds its handshake may take
LetGo = Callable[[socket.socket], None]


class Handshakes:
    """Those of one entry that have not begun. Each has ``timeout_s``, from when it was accepted to its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float, begin: Begin, close: LetGo) -> None:
        self._loop = loop
        self._timeout_s = timeout_s
        self._begin = begin
        self._close = close
        self._silent: dict[socket.socket, float] = {}  # to when they are let go; the oldest first
        self._ready: deque[tuple[socket.socket, float]] = deque()
        self._look: asyncio.TimerHandle | None = None
        self._is_due = False

    def __len__(self) -> int:
        return len(self._silent) + len(self._ready)

    def wait_for(self, connection: socket.socket) -> None:
        """From here on it is this object's, until its handshake begins."""
        self._silent[connection] = self._loop.time() + self._timeout_s
        self._loop.add_reader(connection, self._came, connection)
        if self._look is None:
            self._look = self._loop.call_later(self._timeout_s, self._let_go_of_late)

    def let_go_of_oldest(self) -> bool:
        """Of those that have said nothing yet. False: there is none."""
        for connection in self._silent:
            self._let_go(connection)
            return True
        return False

    def _came(self, connection: socket.socket, awaited: int = 1) -> None:
        """Its hello, a part of it, or its end. ``awaited``: as many bytes as there are unless it has ended."""
        hello = _waiting_bytes(connection)
        more = bytes_awaited(hello) if len(hello) >= awaited else NO_HELLO
        if more == NO_HELLO:
            self._let_go(connection)
            return
        # The kernel wakes nobody for less.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, more or 1)
        if more:
            self._loop.add_reader(connection, self._came, connection, more)
            return
        self._loop.remove_reader(connection)
        self._ready.append((connection, self._silent.pop(connection)))
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._begin_some)

    def _begin_some(self) -> None:
        ready = self._ready
        together = min(len(ready), TOGETHER_MAX)
        self._is_due = len(ready) > together
        if self._is_due:
            self._loop.call_soon(self._begin_some)
        for _ in range(together):
            connection, until_s = ready.popleft()
            left_s = until_s - self._loop.time()
            if left_s > 0:
                self._begin(connection, left_s)
            else:
                self._close(connection)

    def _let_go_of_late(self) -> None:
        self._look = None
        now_s = self._loop.time()
        for connection, until_s in list(self._silent.items()):
            if until_s > now_s:
                self._look = self._loop.call_later(until_s - now_s, self._let_go_of_late)
                return
            self._let_go(connection)

    def _let_go(self, connection: socket.socket) -> None:
        del self._silent[connection]
        self._loop.remove_reader(connection)
        self._close(connection)


def _waiting_bytes(connection: socket.socket) -> bytes:
    """What there is to read; nothing where the client has left."""
    try:
        return connection.recv(HELLO_BYTES_MAX, socket.MSG_PEEK)
    except OSError:
        return b""
