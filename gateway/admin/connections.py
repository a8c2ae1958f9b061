"""Connections to the admin API: so many in all and of one client, and none that takes its time.

The control process collects, settles and restarts workers beside its admin API: descriptors are left for that, whoever
connects. Where a bound is reached, the connection that has waited longest gives way to the new one: a crowd that
connects and says nothing then locks nobody out, as it would if the new one were refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.admin.watch import Watch

# An operator's browsers and scrapers are a handful; a proxy in front keeps some dozens open.
CONNECTIONS_MAX: Final = 256
OF_CLIENT_MAX: Final = 64
# Of the process's descriptors, so many in all; the others are for the store, counters, workers, probes and sockets.
_DESCRIPTORS_SHARE: Final = 1 / 4
# From the connection to a whole head; from an answer's beginning to its end and the next whole head; for the content.
HEAD_TIMEOUT_S: Final = 10.0
NEXT_TIMEOUT_S: Final = 60.0
CONTENT_TIMEOUT_S: Final = 30.0

Inner = Callable[[], asyncio.Protocol]


class Connection(asyncio.Protocol):
    """One client's, around what speaks HTTP. It waits for a request, or one is being answered."""

    def __init__(self, client: str, connections: Connections) -> None:
        self.client = client
        self.is_busy = False
        self._connections = connections
        self.inner: asyncio.Protocol | None = None  # once it is connected
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.is_over = False

    def begin(self) -> None:
        """A request is whole but for its content."""
        self.is_busy = True
        self._wait_no_more()

    def end(self) -> None:
        """Its answer goes out."""
        self.is_busy = False
        self._wait(NEXT_TIMEOUT_S)
        self._connections.moved(self)

    def abort(self) -> None:
        """At once: a close that waits for what is unsent would wait for who does not read."""
        self.is_over = True
        self._wait_no_more()
        if self._transport is not None:
            self._transport.abort()

    def _wait(self, timeout_s: float) -> None:
        self._wait_no_more()
        if not self.is_over:
            self._deadline = asyncio.get_running_loop().call_later(timeout_s, self._is_late)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _is_late(self) -> None:
        self._connections.cut(self, "deadline")

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self.is_over:  # It gave way before it was there.
            self._transport.abort()
            return
        self.inner = self._connections.speak(self)
        self.inner.connection_made(transport)
        self._wait(HEAD_TIMEOUT_S)

    def data_received(self, data: bytes) -> None:
        if self.inner is not None and not self.is_over:
            self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self.inner is None or self.is_over else self.inner.eof_received()

    def pause_writing(self) -> None:
        if self.inner is not None:
            self.inner.pause_writing()

    def resume_writing(self) -> None:
        if self.inner is not None:
            self.inner.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_over = True
        self._wait_no_more()
        self._connections.forget(self)
        if self.inner is not None:
            self.inner.connection_lost(error)


class Connections:
    """Those that are open, the longest waiting first. Used on the event loop."""

    def __init__(self, watch: Watch, descriptors: int) -> None:
        """``descriptors``: how many the process may have."""
        self.most = max(1, min(CONNECTIONS_MAX, int(descriptors * _DESCRIPTORS_SHARE)))
        # Nobody takes them all.
        self.most_of_client = max(1, min(OF_CLIENT_MAX, self.most // 2))
        self._watch = watch
        self._inner: Inner
        self._all: dict[Connection, None] = {}
        self._of_client: dict[str, dict[Connection, None]] = {}
        self._by_inner: dict[asyncio.BaseProtocol, Connection] = {}
        watch.connections = lambda: len(self._all)

    def speak_by(self, inner: Inner) -> None:
        self._inner = inner

    def open(self, client: str) -> Connection | None:
        """One more, before its socket is read. None where all others are being answered: there is no room."""
        if len(self._of_client.get(client, ())) >= self.most_of_client:
            if not self._one_gives_way(self._of_client[client], "client"):
                self._watch.closed("client", client)
                return None
        elif len(self._all) >= self.most and not self._one_gives_way(self._all, "all"):
            self._watch.closed("all", client)
            return None
        connection = Connection(client, self)
        self._all[connection] = None
        self._of_client.setdefault(client, {})[connection] = None
        return connection

    def _one_gives_way(self, among: dict[Connection, None], reason: str) -> bool:
        for connection in among:
            if not connection.is_busy:
                self.cut(connection, reason)
                return True
        return False

    def cut(self, connection: Connection, reason: str) -> None:
        self._watch.closed(reason, connection.client)
        self.forget(connection)
        connection.abort()

    def none_left(self) -> None:
        """The process has no descriptor for another one."""
        self._watch.closed("descriptors", "-")

    def speak(self, connection: Connection) -> asyncio.Protocol:
        inner = self._inner()
        self._by_inner[inner] = connection
        return inner

    def moved(self, connection: Connection) -> None:
        """It waits as of now."""
        if connection in self._all:
            of_client = self._of_client[connection.client]
            for among in (self._all, of_client):
                del among[connection]
                among[connection] = None

    def forget(self, connection: Connection) -> None:
        if connection not in self._all:
            return
        del self._all[connection]
        of_client = self._of_client[connection.client]
        del of_client[connection]
        if not of_client:
            del self._of_client[connection.client]
        if connection.inner is not None:
            self._by_inner.pop(connection.inner, None)

    def of(self, request: web.Request) -> Connection | None:
        return self._by_inner.get(request.protocol)


def in_time(connections: Connections) -> Middleware:
    """The middleware that says when a connection is busy, and no more."""

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = connections.of(request)
        if connection is None:
            return await handler(request)
        connection.begin()
        try:
            return await handler(request)
        finally:
            connection.end()

    return note


@web.middleware
async def content_in_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Content is read whole, within its bound and its time, before a handler has it."""
    if request.can_read_body:
        try:
            async with asyncio.timeout(CONTENT_TIMEOUT_S):
                await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(text=f"the content did not come within {CONTENT_TIMEOUT_S:g} s") from None
    return await handler(request)
