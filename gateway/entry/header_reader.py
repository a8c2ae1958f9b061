"""The first bytes of a connection on an entry with the PROXY protocol: its header, and not a byte more."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from typing import Final, cast

from gateway.entry.proxy_protocol import PREFIX_BYTES, Address, HeaderError, body_bytes, client_of
from gateway.proxy.client_address import peer_address

Networks = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]
_UNREAD: Final = b""


class HeaderReader(asyncio.BufferedProtocol):
    """Reads the header, then pauses the transport and hands it on with the client's address.

    Buffered, so that it reads exactly as far as the header goes: what follows, a ClientHello or a request, is still
    in the socket, and whoever comes next reads it as from any connection. Entries without the option pay nothing.
    """

    __slots__ = (
        "_begin",
        "_buffer",
        "_filled",
        "_is_closed",
        "_prefix",
        "_refuse",
        "_senders",
        "_timer",
        "_timeout_s",
        "_transport",
    )

    def __init__(
        self,
        senders: Networks,
        timeout_s: float,
        begin: Callable[[HeaderReader, asyncio.Transport, Address | None], None],
        refuse: Callable[[HeaderReader, str], None],
    ) -> None:
        """``senders`` empty: whoever can connect. ``refuse`` is told why; the connection is closed already."""
        self._senders = senders
        self._timeout_s = timeout_s
        self._begin = begin
        self._refuse = refuse
        self._prefix = _UNREAD
        self._buffer = bytearray(PREFIX_BYTES)
        self._filled = 0
        self._transport = cast(asyncio.Transport, None)
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_silent(self) -> bool:
        return not self._prefix and not self._filled

    def close(self) -> None:
        """At once, or as soon as the connection is made: that is a turn of the loop after this is."""
        self._is_closed = True
        if self._timer is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._is_closed:
            self._close("")
            return
        peer = transport.get_extra_info("peername")
        sender = peer_address(peer[0]) if peer else None
        if self._senders and (sender is None or not any(sender in network for network in self._senders)):
            self._close(f"{sender} is not in proxy_protocol_from")
            return
        self._timer = asyncio.get_running_loop().call_later(self._timeout_s, self._time_out)

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if self._filled < len(self._buffer):
            return
        try:
            if self._prefix:
                self._end(client_of(self._prefix, bytes(self._buffer)))
                return
            self._prefix = bytes(self._buffer)
            size = body_bytes(self._prefix)
            if size == 0:
                self._end(client_of(self._prefix, b""))
                return
        except HeaderError as error:
            self._close(str(error))
            return
        self._buffer = bytearray(size)
        self._filled = 0

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._refuse(self, "" if self.is_silent else "the connection ended within its PROXY protocol header")

    def _time_out(self) -> None:
        self._close("" if self.is_silent else "the PROXY protocol header took too long")

    def _end(self, address: Address | None) -> None:
        self._stop()
        self._transport.pause_reading()
        self._begin(self, self._transport, address)

    def _close(self, reason: str) -> None:
        self._stop()
        self._transport.abort()
        self._refuse(self, reason)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
