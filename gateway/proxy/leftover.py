"""What an upstream said last, where its connection broke before that was read.

Who refuses an upload answers, closes, and resets what still comes. Where a write meets that reset first, the loop ends
the connection, and the answer is still in the socket.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Any, Final

# An answer to a refused request is short. What the kernel holds beyond it is not worth the memory, nor the turn.
LEFT_BYTES_MAX: Final = 1 << 20
_PIECE_BYTES: Final = 64 * 1024


def read_left(transport: asyncio.BaseTransport, descriptor: int, fault: Exception) -> tuple[bytes, bool]:
    """All that came and nobody has read; and whether the other side said that this is the end.

    For `connection_lost`, at the time of which the loop reads no more. ``descriptor``: the connection's, or -1.
    """
    pieces: list[bytes] = []
    size = 0
    while size < LEFT_BYTES_MAX:
        try:
            piece = os.read(descriptor, _PIECE_BYTES)
        except OSError:  # There is no more for now, or there was a reset.
            break
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return b"".join(pieces), isinstance(fault, BrokenPipeError)  # EPIPE: a FIN came before the reset.
    return _decrypted(transport, tls, pieces)


def _decrypted(transport: asyncio.BaseTransport, tls: ssl.SSLObject, pieces: list[bytes]) -> tuple[bytes, bool]:
    """By the connection's own TLS object, which uvloop feeds with what it reads; other loops have no such way in.

    Within TLS an alert says the end, and nothing else does (RFC 8446 6.1).
    """
    feed: Any = transport.get_extra_info("uvloop.sslproto")
    if feed is None:
        return b"", False
    for piece in pieces:
        feed.get_buffer(len(piece))[: len(piece)] = piece
        feed.buffer_updated(len(piece))
    content: list[bytes] = []
    try:
        while data := tls.read(_PIECE_BYTES):
            content.append(data)
    except ssl.SSLZeroReturnError:
        return b"".join(content), True
    except ssl.SSLError:  # It wants more, which will not come, or cannot make anything of it.
        return b"".join(content), False
    return b"".join(content), True
