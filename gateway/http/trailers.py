"""Which trailer fields may be passed on (RFC 9110 6.5.1)."""

from __future__ import annotations

from typing import Final

from gateway.http.fields import without_fields

# What a client acts on before the content is there, or a hop on its way: framing, routing, authentication, control of
# the answer and of its content, hop-by-hop fields, and those that the gateway sets itself.
_HEADER_ONLY: Final = frozenset(
    b"age authorization cache-control connection content-encoding content-length content-range content-type date "
    b"expires host keep-alive location max-forwards proxy-authenticate proxy-authorization proxy-connection ratelimit "
    b"ratelimit-policy retry-after set-cookie te trailer transfer-encoding upgrade vary via www-authenticate "
    b"x-request-id".split()
)


def legal_trailers(section: bytes) -> bytes:
    """The trailers of an answer that may go to a client which takes them."""
    return without_fields(section, _HEADER_ONLY)
