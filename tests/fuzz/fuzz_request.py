"""Requests: any bytes are one message that both oracles read alike, or a refusal; and so is what goes upstream."""

from __future__ import annotations

from gateway.http.chunked import LAST_CHUNK, chunk
from gateway.http.errors import ProtocolError
from gateway.http.request import CHUNKED, RequestHead
from gateway.proxy.forwarding import appended_forwarded_fields, request_text
from tests.fuzz.oracles import (
    FIELDS_MAX,
    HEAD_BYTES_MAX,
    TARGET_BYTES_MAX,
    Reading,
    fields_of,
    gateway_request,
    h11_request,
    llhttp_request,
)

CODES = {"bad_request", "uri_too_long", "head_too_large", "not_implemented"}
# None of these may reach an upstream as a client wrote it: framing, hop-by-hop and forwarding are ours (RFC 9110 7.6).
OURS = {b"transfer-encoding", b"trailer", b"keep-alive", b"proxy-connection", b"http2-settings"}


def outcome(data: bytes, head: RequestHead | None = None) -> str | tuple[object, ...]:
    """The code of a refusal, or everything that the head is. ``head``: one that was given the beginning before."""
    head = head or RequestHead()
    try:
        taken = head.parse(data, HEAD_BYTES_MAX, TARGET_BYTES_MAX, FIELDS_MAX)
    except ProtocolError as error:
        assert error.code in CODES
        return error.code
    assert 0 <= taken <= len(data)
    if taken == 0:
        return "partial"
    names = [name for name in RequestHead.__slots__ if not name.startswith("_") and name not in ("lines", "known")]
    line = (head.method, head.path, head.known.line)
    return taken, [(field.name, field.value) for field in head.lines], line, *(getattr(head, name) for name in names)


def check_split(data: bytes) -> None:
    """Fed byte by byte, the head is the same, or refused by the same code, though perhaps sooner."""
    whole = outcome(data)
    growing = RequestHead()
    for end in range(1, len(data) + 1):
        part = outcome(data[:end], growing)
        if part != "partial":
            assert part == whole, (end, part, whole)
            return


def check_agreed(ours: Reading, theirs: Reading) -> None:
    assert (ours.start, ours.fields) == (theirs.start, theirs.fields)
    # llhttp takes the content of a request for an upgrade for the other protocol's, of HTTP/1.0 too. A WebSocket
    # service refuses content for that, and what is forwarded without the upgrade is asked about below.
    assert theirs.has_switched or ours.content == theirs.content
    assert theirs.keeps_alive or not ours.keeps_alive, "we would go on reading where it stops"


def check_forwarded(head: RequestHead, ours: Reading) -> None:
    """The head written for the upstream says the same, once."""
    path = head.path if head.path != b"*" else b"/*"
    tail = appended_forwarded_fields(head, b"192.0.2.1", b"http", head.host, b"", is_trusted=False)
    content = ours.content
    if head.content_length == CHUNKED:
        content = (chunk(content) if content else b"") + LAST_CHUNK
    host = None if head.host else b"upstream"
    text = request_text(head, head.method + b" " + path, host, tail, b"id")
    written = text + content
    assert b"\x00" not in text
    assert text.count(b"\r") == text.count(b"\n") == text.count(b"\r\n")
    assert text.find(b"\r\n\r\n") == len(text) - 4
    names = [name for name, _ in fields_of(text.partition(b"\r\n")[2][:-2])]
    assert names.count(b"host") == 1
    assert names.count(b"content-length") + names.count(b"transfer-encoding") == (1 if framed(ours) else 0)
    assert names.count(b"transfer-encoding") == (1 if head.content_length == CHUNKED else 0)
    assert not (OURS - {b"transfer-encoding"}) & set(names)
    assert [value for name, value in fields_of(text) if name == b"te"] == [b"trailers"] * head.takes_trailers
    again = gateway_request(written)
    assert again is not None
    assert again[1].taken == len(written), "we do not read what we write"
    assert again[0].method == head.method
    for read in (h11_request, llhttp_request):
        theirs = read(written)
        assert theirs.start == (head.method, path + head.query)
        assert theirs.content == ours.content


def framed(ours: Reading) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in ours.fields)


def check(data: bytes) -> None:
    if len(data) <= 512:
        check_split(data)
    try:
        found = gateway_request(data)
    except ProtocolError as error:
        assert error.code in CODES
        return
    if found is None:
        return
    head, ours = found
    message = data[: ours.taken]
    check_agreed(ours, h11_request(message))
    check_agreed(ours, llhttp_request(message))
    if head.content_length:
        head.upgrade = b""
    check_forwarded(head, ours)
