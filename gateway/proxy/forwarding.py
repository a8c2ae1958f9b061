"""The texts of messages passed on: written anew from what was understood (RFC 9110 7.6)."""

from __future__ import annotations

import re

from gateway.http.request import CHUNKED, RequestHead
from gateway.http.response import ResponseHead

_HOST_LINE = re.compile(rb"(?i)(?:^|(?<=\n))host:[^\n]*\n")


def forwarded_fields(address: bytes, scheme: bytes) -> bytes:
    """What every request of a connection carries when its client sent no such fields itself."""
    return b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nVia: 1.1 tollgate\r\n" % (address, scheme)


def appended_forwarded_fields(head: RequestHead, address: bytes, scheme: bytes, *, is_trusted: bool) -> bytes:
    """The same where the client sent some: appended to; proto is believed of trusted proxies only."""
    chain = head.forwarded_for + b", " + address if head.forwarded_for else address
    via = head.via + b", 1.1 tollgate" if head.via else b"1.1 tollgate"
    proto = head.forwarded_proto if is_trusted and head.forwarded_proto else scheme
    return b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nVia: %b\r\n" % (chain, proto, via)


def request_text(
    head: RequestHead,
    fields: bytes,
    target: bytes,
    host_field: bytes | None,
    forwarded: bytes,
    request_id: bytes,
) -> bytes:
    """The head for upstream. ``host_field`` replaces the client's Host when given (`preserve_host: false`)."""
    if host_field is not None:
        fields = b"Host: " + host_field + b"\r\n" + _HOST_LINE.sub(b"", fields)
    framing = b""
    if head.content_length == CHUNKED:
        framing = b"Transfer-Encoding: chunked\r\n"
    if head.expects_continue:
        framing += b"Expect: 100-continue\r\n"
    if head.upgrade:
        framing += b"Connection: Upgrade\r\nUpgrade: " + head.upgrade + b"\r\n"
    return b"".join(
        (
            head.method,
            b" ",
            target,
            b" HTTP/1.1\r\n",
            fields,
            framing,
            forwarded,
            b"X-Forwarded-Host: ",
            head.forwarded_host or head.host,
            b"\r\nX-Request-Id: ",
            request_id,
            b"\r\n\r\n",
        )
    )


def response_text(head: ResponseHead, request_id: bytes, more: bytes, content: bytes) -> bytes:
    """The head for the client, and the content that has come with it. ``more`` are whole lines."""
    return b"".join((head.status_line, head.fields, b"X-Request-Id: ", request_id, b"\r\n", more, b"\r\n", content))
