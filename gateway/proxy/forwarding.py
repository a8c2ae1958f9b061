"""The texts of messages passed on: written anew from what was understood (RFC 9110 7.6)."""

from __future__ import annotations

import re
from functools import lru_cache

from gateway.http.request import CHUNKED, RequestHead
from gateway.http.response import ResponseHead
from gateway.proxy.client_address import CLIENTS_KNOWN

_HOST_LINE = re.compile(rb"(?i)(?:^|(?<=\n))host:[^\n]*\n")


@lru_cache(CLIENTS_KNOWN)
def forwarded_fields(address: bytes, scheme: bytes) -> bytes:
    """What every request of a connection carries when its client sent no such fields, up to the forwarded host."""
    return b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nVia: 1.1 tollgate\r\nX-Forwarded-Host: " % (
        address,
        scheme,
    )


def appended_forwarded_fields(
    head: RequestHead, address: bytes, scheme: bytes, host: bytes, prefix: bytes, *, is_trusted: bool
) -> bytes:
    """The same where the client sent some: appended to; proto and prefix are believed of trusted proxies only.

    ``prefix``: what this gateway strips of the path.
    """
    chain = head.forwarded_for + b", " + address if head.forwarded_for else address
    via = head.via + b", 1.1 tollgate" if head.via else b"1.1 tollgate"
    proto = head.forwarded_proto if is_trusted and head.forwarded_proto else scheme
    prefix = head.forwarded_prefix + prefix
    return b"%bX-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nVia: %b\r\nX-Forwarded-Host: %b\r\nX-Request-Id: " % (
        prefix_field(prefix) if prefix else b"",
        chain,
        proto,
        via,
        host,
    )


def prefix_field(prefix: bytes) -> bytes:
    """What was stripped of the path, for upstreams that write addresses of their own."""
    return b"X-Forwarded-Prefix: " + prefix + b"\r\n"


def request_text(head: RequestHead, line: bytes, host_field: bytes | None, tail: bytes, request_id: bytes) -> bytes:
    """The head for upstream. ``line`` is its method and path, ``tail`` the fields we add, up to the request id.

    ``host_field`` replaces the client's Host when given (`preserve_host: false`).
    """
    fields = head.fields
    if host_field is not None:
        fields = b"Host: " + host_field + b"\r\n" + _HOST_LINE.sub(b"", fields)
    if head.content_length == CHUNKED:
        fields += b"Transfer-Encoding: chunked\r\n"
    if head.is_marked:
        if head.expects_continue:
            fields += b"Expect: 100-continue\r\n"
        if head.upgrade:
            fields += b"Connection: Upgrade\r\nUpgrade: " + head.upgrade + b"\r\n"
    return b"".join((line, head.query, b" HTTP/1.1\r\n", fields, tail, request_id, b"\r\n\r\n"))


def response_text(head: ResponseHead, request_id: bytes, more: bytes, content: bytes) -> bytes:
    """The head for the client, and the content that has come with it. ``more`` are whole lines."""
    return b"".join((head.status_line, head.fields, b"X-Request-Id: ", request_id, b"\r\n", more, b"\r\n", content))
