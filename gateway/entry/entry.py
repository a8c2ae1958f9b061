"""One listening socket of a worker: plain, with TLS, behind the PROXY protocol, or both."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, cast

from config.certificates import CertificateError
from gateway.entry.handshakes import Handshakes
from gateway.entry.header_reader import HeaderReader
from gateway.entry.plain_http import PLAIN_HTTP, RefusingFirst, plain_http_in
from gateway.entry.proxy_protocol import Address
from gateway.entry.tls import Stamp, TlsSettings, server_context, stamp
from gateway.proxy.capacity import descriptors_of
from gateway.proxy.client import ClientConnection
from gateway.proxy.client_address import UNKNOWN, network, peer_address
from gateway.proxy.core import Core
from gateway.proxy.kinds import make_client

_BACKLOG: Final = 65_535  # The kernel cuts this down to net.core.somaxconn.
# A client that does not answer our close_notify (RFC 8446 6.1 does not make it) is let go after this.
_TLS_SHUTDOWN_S: Final = 2.0
# Bad PROXY headers come from a balancer that is set up wrongly, or a scanner: by the thousand. One line tells.
_REFUSAL_LOG_INTERVAL_S: Final = 60.0
# Connections that wait are taken some in each turn of the loop. A turn serves everybody: with 5,000 clients that ask
# all the time it takes 0.2 s, and whoever comes new must not wait for a turn each. So as many are taken as take some
# eighth of the time that has passed since the last were, at 50 us each; and a few where turns are short.
_TAKEN_EACH_S: Final = 2500
_TAKEN_LEAST: Final = 16
_TAKEN_MOST: Final = 512
_FULL_S: Final = 0.05  # How long an entry of a worker that has no room accepts nobody.

log = logging.getLogger("tollgate.entry")


class Entry:
    """Accepts connections, a protocol for each. Serves with the certificates as they are on the disk.

    A changed certificate is the next handshake's: connections that wait, and those made before, see nothing of it.
    """

    def __init__(self, core: Core, listener: dict[str, Any]) -> None:
        """``listener``: its part of the document that the worker is started with."""
        self._core = core
        self._network: str = listener["network"]
        self._socket = socket.socket(fileno=listener["fd"])
        self._socket.setblocking(False)
        host, port = self._socket.getsockname()[:2]
        self._text = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        tls = listener["tls"]
        self._tls = TlsSettings.of(tls) if tls else None
        self._scheme = "https" if tls else "http"
        self._tells_certificate = self._tls is not None and self._tls.client_cert == "forward"
        self._descriptors = descriptors_of(self._scheme.encode())  # of a connection
        self._is_proxied: bool = listener.get("proxy_protocol", False)
        self._senders = [network(cidr) for cidr in listener.get("proxy_protocol_from", ())]
        self._stamp: Stamp = ()
        self._context: ssl.SSLContext | None = None
        self._is_open = False
        self._accepted_s = float("-inf")
        self._full: asyncio.TimerHandle | None = None  # set while nobody is accepted for want of room
        self._beginning: set[asyncio.Task[None]] = set()  # connections that are made, until a client has them
        self._readers: dict[HeaderReader, None] = {}  # the oldest first
        self._handshakes = Handshakes(core.loop, core.bounds.head_timeout_s, self._begin_tls, self._let_go)
        # Behind the PROXY protocol: a second descriptor to wait by, and whose connection it is.
        self._proxied: dict[socket.socket, tuple[asyncio.Transport, asyncio.Protocol]] = {}
        self._refusal_logged_s = float("-inf")

    async def open(self) -> None:
        """Serves from now on. Raises CertificateError."""
        if self._tls is not None:
            self._stamp = stamp(self._tls)
            self._context = server_context(self._tls)
        self._socket.listen(_BACKLOG)
        self._is_open = True
        self._core.loop.add_reader(self._socket, self._accept)

    async def renew(self) -> None:
        """Takes up the certificates if their files changed; what cannot be used leaves the ones before."""
        if self._tls is None:
            return
        # On a thread: the files may be on a disk that is slow, and reading many authorities takes milliseconds.
        found = await asyncio.to_thread(stamp, self._tls)
        if found == self._stamp:
            return
        # As of before the files are read: what changes while they are is seen the next time.
        self._stamp = found
        try:
            self._context = await asyncio.to_thread(server_context, self._tls)
        except CertificateError as error:
            log.error("entry %s goes on with the certificates it has: %s", self._text, error)
            return
        log.info("entry %s serves with its new certificates", self._text)

    def close(self) -> None:
        """Accepts no more. The socket goes too: nobody should queue where nobody accepts."""
        if self._is_open:
            self._is_open = False
            self._core.loop.remove_reader(self._socket)
        if self._full is not None:
            self._full.cancel()
            self._full = None
        self._socket.close()
        for reader in [reader for reader in self._readers if reader.is_silent]:
            reader.close()

    def let_go_of_silent(self) -> None:
        """Those that have not said a word of their handshake."""
        while self._handshakes.let_go_of_oldest():
            pass

    @property
    def is_at_rest(self) -> bool:
        """Closed, and without a connection that is no client yet, those in a handshake included."""
        return not (self._beginning or self._readers or self._handshakes)

    # Who comes

    def _accept(self) -> None:
        now_s = time.monotonic()
        passed_s, self._accepted_s = now_s - self._accepted_s, now_s
        for _ in range(min(_TAKEN_MOST, max(_TAKEN_LEAST, int(min(passed_s, 1.0) * _TAKEN_EACH_S)))):
            if not self._has_room():
                self._pause()
                return
            try:
                connection, peer = self._socket.accept()
            except BlockingIOError:
                return  # None is left.
            except ConnectionAbortedError:
                continue  # It left while it waited.
            except OSError as error:
                log.error("entry %s accepts nobody for a while: %s", self._text, error)
                self._pause()
                return
            connection.setblocking(False)
            if self._is_proxied:
                self._begin_by(self._take(connection, self._reader()), "accept")
            elif self._core.has_too_many(peer_address(peer[0]), self._descriptors):
                connection.close()
            elif self._context is not None:
                self._handshakes.wait_for(connection)
            else:
                self._begin_by(self._take(connection, self._client()), "accept")

    def _has_room(self) -> bool:
        """Where there is none, who has been silent the longest makes some."""
        coming = len(self._handshakes) + len(self._beginning) + len(self._readers)
        if self._core.has_room(coming, self._descriptors):
            return True
        self._core.tell_that_full()
        if self._handshakes.let_go_of_oldest() or self._let_go_of_silent_reader():
            self._core.count_refused("made_room")
            return True
        if not self._beginning:  # Else those first: what they are like is seen when they are clients.
            self._core.make_room()
        return False

    def _let_go_of_silent_reader(self) -> bool:
        """Of one without a byte of its PROXY header. False: there is none."""
        for reader in self._readers:
            if reader.is_silent:
                del self._readers[reader]
                reader.close()
                return True
        return False

    def _pause(self) -> None:
        self._core.count_refused("worker_limit")
        self._core.loop.remove_reader(self._socket)
        self._full = self._core.loop.call_later(_FULL_S, self._go_on)

    def _go_on(self) -> None:
        self._full = None
        self._core.loop.add_reader(self._socket, self._accept)

    async def _take(self, connection: socket.socket, protocol: asyncio.Protocol) -> None:
        with suppress(OSError):  # It has left already.
            await self._core.loop.connect_accepted_socket(lambda: protocol, connection)

    def _begin_tls(self, connection: socket.socket, timeout_s: float) -> None:
        begins = plain_http_in(connection)
        # The context of now: a handshake goes to its end with the certificate it began with.
        context = self._context
        assert context is not None
        proxied = self._proxied.pop(connection, None)
        if proxied is None and begins:
            self._begin_by(self._take(connection, self._refusing(begins)), "accept")
            return
        if proxied is None:
            self._begin_by(self._take_tls(connection, timeout_s, context), "handshake")
            return
        connection.close()
        transport, client = proxied
        if not begins:
            self._begin_by(self._handshake(transport, client, timeout_s, context), "handshake")
            return
        self._refusing(begins, cast(ClientConnection, client).address).connection_made(transport)
        if not transport.is_closing():
            transport.resume_reading()

    def _let_go(self, connection: socket.socket) -> None:
        """Of one whose handshake does not begin."""
        connection.close()
        proxied = self._proxied.pop(connection, None)
        if proxied is not None:
            proxied[0].abort()

    async def _take_tls(self, connection: socket.socket, timeout_s: float, context: ssl.SSLContext) -> None:
        with suppress(OSError):  # SSLError is one. No request, and closed already.
            await self._core.loop.connect_accepted_socket(
                self._client,
                connection,
                ssl=context,
                ssl_handshake_timeout=timeout_s,
                ssl_shutdown_timeout=_TLS_SHUTDOWN_S,
            )

    def _begin_by(self, steps: Coroutine[Any, Any, None], name: str) -> None:
        task = self._core.loop.create_task(steps, name=name)
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    def _refusing(self, received: bytes, address: Address = UNKNOWN) -> asyncio.Protocol:
        """For who speaks plain HTTP on a port with TLS: told so in words that it reads."""
        return RefusingFirst(make_client(self._core, self._network, "http", address), received, PLAIN_HTTP)

    def _client(self, address: Address = UNKNOWN) -> asyncio.Protocol:
        """A protocol by its methods, not by inheritance."""
        client = make_client(self._core, self._network, self._scheme, address)
        client.tells_certificate = self._tells_certificate
        return cast(asyncio.Protocol, client)

    # Behind the PROXY protocol

    def _reader(self) -> asyncio.Protocol:
        reader = HeaderReader(self._senders, self._core.bounds.head_timeout_s, self._begin, self._refuse)
        self._readers[reader] = None
        return cast(asyncio.Protocol, reader)

    def _begin(self, reader: HeaderReader, transport: asyncio.Transport, address: Address | None) -> None:
        """The header is read and the transport paused: the client's connection begins."""
        self._readers.pop(reader, None)
        client = self._client() if address is None else self._client(address)
        if self._context is not None:
            self._wait_for_hello(transport, client)
            return
        transport.set_protocol(client)
        client.connection_made(transport)
        transport.resume_reading()

    def _wait_for_hello(self, transport: asyncio.Transport, client: asyncio.Protocol) -> None:
        """The loop does not let others look at a descriptor of its transports: at a second one it does."""
        try:
            connection = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        except OSError:
            self._core.count_refused("worker_limit")
            transport.abort()
            return
        self._proxied[connection] = transport, client
        self._handshakes.wait_for(connection)

    async def _handshake(
        self, transport: asyncio.Transport, client: asyncio.Protocol, timeout_s: float, context: ssl.SSLContext
    ) -> None:
        try:
            encrypted = await self._core.loop.start_tls(
                transport,
                client,
                context,
                server_side=True,
                ssl_handshake_timeout=timeout_s,
                ssl_shutdown_timeout=_TLS_SHUTDOWN_S,
            )
        except OSError:
            return  # SSLError is one. No request, and closed already.
        if encrypted is not None and not encrypted.is_closing():
            # Before the first data: the loop reads it in its next turn at the earliest.
            client.connection_made(encrypted)

    def _refuse(self, reader: HeaderReader, reason: str) -> None:
        self._readers.pop(reader, None)
        now_s = self._core.loop.time()
        if reason and now_s - self._refusal_logged_s > _REFUSAL_LOG_INTERVAL_S:
            self._refusal_logged_s = now_s
            log.warning("entry %s closed a connection: %s (told at most once a minute)", self._text, reason)
