"""Where a request's head ends (RFC 9112 2.1), and whether it may."""

from __future__ import annotations

from typing import Final

from gateway.http.errors import ProtocolError
from gateway.http.grammar import IMPOSSIBLE

_TLS_RECORD: Final = b"\x16\x03"  # RFC 8446 5.1: what a ClientHello comes in


def whole_head_bytes(data: bytes, head_bytes_max: int, at: int = 0, searched: int = 0) -> int:
    """Length of the head at ``at`` including its empty line; 0 while its end has not come.

    ``searched``: so many of its bytes were looked through before, and found to be good so far.
    Raises ProtocolError as soon as no continuation could make it a head (400) or it is over the bound: 414 where the
    request line alone is (RFC 9112 3), else 431.
    """
    most = at + head_bytes_max
    # Three of an end's four bytes may have been there before; of what cannot be, one of two.
    end = data.find(b"\r\n\r\n", at + searched - 3 if searched > 3 else at, most)
    if end >= 0:
        return end + 4 - at
    if IMPOSSIBLE.search(data, at + searched - 1 if searched else at, most):
        if data.startswith(_TLS_RECORD, at):
            raise ProtocolError("bad_request", "TLS on a port that speaks plain HTTP")
        raise ProtocolError("bad_request", "a bare CR, LF or NUL in the head")
    if len(data) >= most:
        if data.find(b"\r\n", at, most) < 0:
            raise ProtocolError("uri_too_long", f"the request line is longer than {head_bytes_max} bytes")
        raise ProtocolError("head_too_large", f"the head is longer than {head_bytes_max} bytes")
    return 0
