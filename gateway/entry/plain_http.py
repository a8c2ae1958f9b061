"""Plain HTTP on a port that speaks TLS: seen before a handshake is wasted on it, and refused in words that are read."""

from __future__ import annotations

import asyncio
import os
import socket
import string
from typing import Any, Final, cast

from gateway.proxy.client import ClientConnection

PLAIN_HTTP: Final = "plain HTTP on a port that speaks TLS"
# A ClientHello's record begins with 0x16 (RFC 8446 5.1), a method that anybody sends with a capital letter.
_METHODS_BEGIN: Final = string.ascii_uppercase.encode()
_LOOKED_AT_BYTES: Final = 1024  # The request line, for the operator.


def plain_http_in(connection: Any) -> bytes:
    """What a connection begins with, left where it is; empty unless that is plain HTTP.

    ``connection``: a socket, or what a transport shows of one.
    """
    try:
        if isinstance(connection, socket.socket):
            begins = connection.recv(_LOOKED_AT_BYTES, socket.MSG_PEEK)
        else:
            # What a transport shows has no `recv`; its descriptor has.
            with socket.socket(fileno=os.dup(connection.fileno())) as looked_at:
                begins = looked_at.recv(_LOOKED_AT_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return b""  # Nothing has come, or it has left.
    return begins if begins[:1] in _METHODS_BEGIN else b""


class RefusingFirst(asyncio.Protocol):
    """Gives its transport to a client's connection, which refuses at once: nothing it is sent is ever a request."""

    def __init__(self, client: ClientConnection, received: bytes, detail: str) -> None:
        self._client = client
        self._received = received
        self._detail = detail

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).set_protocol(cast(asyncio.Protocol, self._client))
        self._client.connection_made(transport)
        if not cast(asyncio.Transport, transport).is_closing():
            self._client.refuse_unread(self._received, self._detail)
