"""Chunked content: the same however it is split, and as both oracles decode it."""

from __future__ import annotations

from gateway.http.chunked import LAST_CHUNK, ChunkedDecoder, chunk
from gateway.http.errors import ProtocolError
from tests.fuzz.oracles import h11_request, llhttp_request

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
Outcome = tuple[str, bytes, bytes]  # refused, partial or done; the content; what is left over


def outcome(pieces: list[bytes]) -> Outcome:
    decoder = ChunkedDecoder()
    content = rest = b""
    for piece in pieces:
        if decoder.is_done:
            rest += piece
            continue
        try:
            content += decoder.decode(piece)
            while decoder.has_more:
                content += decoder.decode(b"")
        except ProtocolError as error:
            assert error.code == "bad_request"
            return "refused", b"", b""
    return ("done" if decoder.is_done else "partial"), content, decoder.rest + rest


def check(data: bytes) -> None:
    whole = outcome([data])
    assert outcome([data[at : at + 1] for at in range(len(data))]) == whole
    step = data[0] % 7 + 2 if data else 1
    assert outcome([data[at : at + step] for at in range(0, len(data), step)]) == whole
    state, content, rest = whole
    if state != "done":
        return
    message = HEAD + data[: len(data) - len(rest)]
    for read in (h11_request, llhttp_request):
        assert read(message).content == content
    written = (chunk(content) if content else b"") + LAST_CHUNK
    assert outcome([written]) == ("done", content, b"")
