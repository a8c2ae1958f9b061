"""Answers: any bytes are one answer that both oracles read alike, or a refusal; and so is what the client gets."""

from __future__ import annotations

from gateway.http.chunked import LAST_CHUNK, chunk
from gateway.http.errors import ProtocolError
from gateway.http.response import CHUNKED, UNTIL_CLOSE, ResponseHead
from gateway.proxy.forwarding import response_text
from tests.fuzz.oracles import Reading, fields_of, gateway_response, h11_response, llhttp_response

# None of these may reach a client as an upstream wrote it (RFC 9110 7.6.1).
OURS = {b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"proxy-connection"}


def outcome(data: bytes, head: ResponseHead | None = None, *, to_head_request: bool) -> str | tuple[object, ...]:
    """The code of a refusal, or everything that the head is."""
    head = head or ResponseHead()
    try:
        taken = head.parse(data, to_head_request=to_head_request)
    except ProtocolError as error:
        assert error.code == "bad_gateway"
        return error.code
    assert 0 <= taken <= len(data)
    if taken == 0:
        return "partial"
    return taken, *(getattr(head, name) for name in ResponseHead.__slots__ if not name.startswith("_"))


def check_split(data: bytes, *, to_head_request: bool) -> None:
    """Fed byte by byte, the head is the same, or refused all the same, though perhaps sooner."""
    whole = outcome(data, to_head_request=to_head_request)
    growing = ResponseHead()
    for end in range(1, len(data) + 1):
        part = outcome(data[:end], growing, to_head_request=to_head_request)
        if part != "partial":
            assert part == whole, (end, part, whole)
            return


def check_relayed(head: ResponseHead, ours: Reading) -> None:
    """The answer written for the client says the same, once: no splitting, no second framing."""
    more, content = b"", ours.content
    is_chunked = head.framing in (CHUNKED, UNTIL_CLOSE)
    if is_chunked:
        more = b"Transfer-Encoding: chunked\r\n"
        content = (chunk(content) if content else b"") + LAST_CHUNK
    text = response_text(head, b"id", more, b"")
    assert b"\x00" not in text
    assert text.count(b"\r") == text.count(b"\n") == text.count(b"\r\n")
    assert text.find(b"\r\n\r\n") == len(text) - 4
    names = [name for name, _ in fields_of(text.partition(b"\r\n")[2][:-2])]
    assert names.count(b"transfer-encoding") == (1 if is_chunked else 0)
    assert names.count(b"content-length") <= (0 if is_chunked or head.status == 204 or head.status < 200 else 1)
    assert not OURS & set(names)
    written = text + content
    again = gateway_response(written)
    assert again is not None
    assert again[1].taken == len(written), "we do not read what we write"
    for read in (h11_response, llhttp_response):
        theirs = read(written, until_close=False)
        assert (theirs.start, theirs.content) == (ours.start, ours.content)


def check(data: bytes) -> None:
    if len(data) <= 512:
        check_split(data, to_head_request=False)
        check_split(data, to_head_request=True)
    try:
        found = gateway_response(data)
    except ProtocolError as error:
        assert error.code in ("bad_gateway", "bad_request")  # the latter of the chunks, which become a 502 too
        return
    if found is None:
        return
    head, ours = found
    if head.status == 101:
        return  # Only after a request that asked for it: what follows is another protocol.
    message = data[: ours.taken]
    until_close = head.framing == UNTIL_CLOSE
    # RFC 9112 6.3: a 1xx ends with its head; llhttp waits for the content that a length in it promises.
    is_promised = head.status < 200 and b"content-length" in dict(ours.fields)
    for read in (h11_response,) if is_promised else (h11_response, llhttp_response):
        theirs = read(message, until_close=until_close)
        assert (ours.start, ours.content, ours.fields) == (theirs.start, theirs.content, theirs.fields)
    check_relayed(head, ours)
