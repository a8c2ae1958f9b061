"""One listening socket of a worker: plain, with TLS, behind the PROXY protocol, or both."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, cast

from config.certificates import CertificateError
from gateway.entry.header_reader import HeaderReader
from gateway.entry.proxy_protocol import Address
from gateway.entry.tls import Stamp, TlsSettings, server_context, stamp
from gateway.proxy.client_address import UNKNOWN, network
from gateway.proxy.core import Core
from gateway.proxy.kinds import make_client

_BACKLOG: Final = 65_535  # The kernel cuts this down to net.core.somaxconn.
# A client that does not answer our close_notify (RFC 8446 6.1 does not make it) is let go after this.
_TLS_SHUTDOWN_S: Final = 2.0
# Bad PROXY headers come from a balancer that is set up wrongly, or a scanner: by the thousand. One line tells.
_REFUSAL_LOG_INTERVAL_S: Final = 60.0
# libuv accepts one connection in each turn of the loop, and a turn serves everybody: with 5,000 clients that ask all
# the time it takes 0.2 s, and whoever comes new would wait behind all that came before. So, so soon after one came, all
# that wait are taken, up to so many: it goes on with the next turn, and those that are here are served in between.
_WAITING_S: Final = 0.01
_TAKEN_TOGETHER_MAX: Final = 512

log = logging.getLogger("tollgate.entry")


class Entry:
    """Accepts connections, a protocol for each. Serves with the certificates as they are on the disk.

    A changed certificate means a new server on the same listening socket: connections that wait in its queue, and
    those accepted before, see nothing of it. Few connections wait there for long: see `_take_waiting`.
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
        self._is_proxied: bool = listener.get("proxy_protocol", False)
        self._senders = [network(cidr) for cidr in listener.get("proxy_protocol_from", ())]
        self._stamp: Stamp = ()
        self._context: ssl.SSLContext | None = None
        self._server: asyncio.Server | None = None
        self._connected: set[asyncio.Task[None]] = set()  # one for each server that has, or may get, connections
        self._beginning: set[asyncio.Task[None]] = set()  # connections that no server knows, until a client has them
        self._readers: set[HeaderReader] = set()
        self._look: asyncio.TimerHandle | None = None  # for connections that wait
        self._refusal_logged_s = float("-inf")

    async def open(self) -> None:
        """Serves from now on. Raises CertificateError."""
        if self._tls is not None:
            self._stamp = stamp(self._tls)
            self._context = server_context(self._tls)
        self._server = await self._serve()

    async def renew(self) -> None:
        """Takes up the certificates if their files changed; what cannot be used leaves the ones before."""
        if self._tls is None:
            return
        # On a thread: the files may be on a disk that is slow, and reading many authorities takes milliseconds.
        found = await asyncio.to_thread(stamp, self._tls)
        if found == self._stamp:
            return
        try:
            context = await asyncio.to_thread(server_context, self._tls)
        except CertificateError as error:
            self._stamp = found  # Told once for each state of the files.
            log.error("entry %s goes on with the certificates it has: %s", self._text, error)
            return
        if self._server is None:
            return  # closed meanwhile
        self._context = context
        if not self._is_proxied:
            fresh = await self._serve()
            if self._server is None:
                fresh.close()
                return
            self._server.close()
            self._server = fresh
        # As of before the files were read: what changed while they were is seen the next time.
        self._stamp = found
        log.info("entry %s serves with its new certificates", self._text)

    def close(self) -> None:
        """Accepts no more. The socket goes too: nobody should queue where nobody accepts."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._look is not None:
            self._look.cancel()
            self._look = None
        self._socket.close()
        for reader in [reader for reader in self._readers if reader.is_silent]:
            reader.close()

    @property
    def is_at_rest(self) -> bool:
        """Closed, and without a connection that is no client yet, those in a handshake included."""
        return not (self._connected or self._beginning or self._readers)

    async def _serve(self) -> asyncio.Server:
        core = self._core
        context = None if self._is_proxied else self._context
        server = await core.loop.create_server(
            self._accepted,
            sock=self._socket.dup(),
            backlog=_BACKLOG,
            ssl=context,
            ssl_handshake_timeout=core.bounds.head_timeout_s if context else None,
            ssl_shutdown_timeout=_TLS_SHUTDOWN_S if context else None,
        )
        waiting = core.loop.create_task(server.wait_closed(), name=f"connections of {self._text}")
        self._connected.add(waiting)
        waiting.add_done_callback(self._connected.discard)
        # One turn, for it to wait: of a server that is closed already it would not wait for the connections.
        await asyncio.sleep(0)
        return server

    def _accepted(self) -> asyncio.Protocol:
        """For a connection that the loop accepted: where one came, more may wait."""
        if self._look is None:
            self._look = self._core.loop.call_later(_WAITING_S, self._take_waiting)
        return self._protocol()

    def _take_waiting(self) -> None:
        self._look = None
        for _ in range(_TAKEN_TOGETHER_MAX):
            try:
                connection, _ = self._socket.accept()
            except ConnectionAbortedError:
                continue  # It left while it waited.
            except OSError:
                return  # None is left; or no descriptor, of which the loop tells.
            connection.setblocking(False)
            self._begin_by(self._take(connection), "accept")

    async def _take(self, connection: socket.socket) -> None:
        context = None if self._is_proxied else self._context
        with suppress(OSError):  # SSLError is one. No request, and closed already.
            await self._core.loop.connect_accepted_socket(
                self._protocol,
                connection,
                ssl=context,
                ssl_handshake_timeout=self._core.bounds.head_timeout_s if context else None,
                ssl_shutdown_timeout=_TLS_SHUTDOWN_S if context else None,
            )

    def _begin_by(self, steps: Coroutine[Any, Any, None], name: str) -> None:
        task = self._core.loop.create_task(steps, name=name)
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    def _protocol(self) -> asyncio.Protocol:
        return cast(asyncio.Protocol, self._reader()) if self._is_proxied else self._client()

    def _client(self, address: Address = UNKNOWN) -> asyncio.Protocol:
        """A protocol by its methods, not by inheritance."""
        return cast(asyncio.Protocol, make_client(self._core, self._network, self._scheme, address))

    # Behind the PROXY protocol

    def _reader(self) -> HeaderReader:
        reader = HeaderReader(self._senders, self._core.bounds.head_timeout_s, self._begin, self._refuse)
        self._readers.add(reader)
        return reader

    def _begin(self, reader: HeaderReader, transport: asyncio.Transport, address: Address | None) -> None:
        """The header is read and the transport paused: the client's connection begins."""
        self._readers.discard(reader)
        client = self._client() if address is None else self._client(address)
        if self._context is not None:
            # The context of now: a handshake goes to its end with the certificate it began with.
            self._begin_by(self._handshake(transport, client, self._context), "handshake")
            return
        transport.set_protocol(client)
        client.connection_made(transport)
        transport.resume_reading()

    async def _handshake(self, transport: asyncio.Transport, client: asyncio.Protocol, context: ssl.SSLContext) -> None:
        try:
            encrypted = await self._core.loop.start_tls(
                transport,
                client,
                context,
                server_side=True,
                ssl_handshake_timeout=self._core.bounds.head_timeout_s,
                ssl_shutdown_timeout=_TLS_SHUTDOWN_S,
            )
        except OSError:
            return  # SSLError is one. No request, and closed already.
        if encrypted is not None and not encrypted.is_closing():
            # Before the first data: the loop reads it in its next turn at the earliest.
            client.connection_made(encrypted)

    def _refuse(self, reader: HeaderReader, reason: str) -> None:
        self._readers.discard(reader)
        now_s = self._core.loop.time()
        if reason and now_s - self._refusal_logged_s > _REFUSAL_LOG_INTERVAL_S:
            self._refusal_logged_s = now_s
            log.warning("entry %s closed a connection: %s (told at most once a minute)", self._text, reason)
