"""RFC 9112 7: chunks both ways are read strictly and made anew; trailers are kept where they are wanted and legal."""

from __future__ import annotations

import pytest

from tests.gateway.rfc.conversation import Conversation, head, post
from tests.gateway.rfc.raw_upstream import Script
from tests.node import until

CHUNKED = b"Transfer-Encoding: chunked"
HIDDEN = b"GET /a/hidden HTTP/1.1\r\nHost: x\r\n\r\n"

BAD = [
    pytest.param(b"g\r\n", id="7.1 not hexadecimal"),
    pytest.param(b"-5\r\nhello\r\n", id="7.1 a sign"),
    pytest.param(b"+5\r\nhello\r\n", id="7.1 a plus sign"),
    pytest.param(b"0x5\r\nhello\r\n", id="7.1 0x"),
    pytest.param(b" 5\r\nhello\r\n", id="7.1 space before the size"),
    pytest.param(b"5 \r\nhello\r\n", id="7.1 space after the size"),
    pytest.param(b"5_0\r\nhello\r\n", id="7.1 an underscore"),
    pytest.param(b"\r\nhello\r\n", id="7.1 no size"),
    pytest.param(b"5\nhello\r\n", id="7.1 bare LF after the size"),
    pytest.param(b"5\rhello\r\n", id="7.1 bare CR after the size"),
    pytest.param(b"5\r\nhello\n0\r\n\r\n", id="7.1 bare LF after the data"),
    pytest.param(b"5\r\nhello\r0\r\n\r\n", id="7.1 bare CR after the data"),
    pytest.param(b"5\r\nhello0\r\n\r\n", id="7.1 nothing after the data"),
    pytest.param(b"5\r\nhello!\r\n0\r\n\r\n", id="7.1 more data than the size"),
    pytest.param(b"6\r\nhello\r\n0\r\n\r\n", id="7.1 less data than the size"),
    pytest.param(b"f" * 16 + b"\r\nhello\r\n", id="7.1 2**64 - 1"),
    pytest.param(b"1" + b"0" * 16 + b"\r\nhello\r\n", id="7.1 2**64"),
    pytest.param(b"0" * 16 + b"5\r\nhello\r\n", id="7.1 seventeen digits"),
    pytest.param("５\r\nhello\r\n".encode(), id="7.1 a full-width digit"),
    pytest.param(b"5;\x00\r\nhello\r\n", id="7.1.1 NUL in an extension"),
    pytest.param(b"5;a\nb\r\nhello\r\n", id="7.1.1 LF in an extension"),
    pytest.param(b"5;a\rb\r\nhello\r\n", id="7.1.1 CR in an extension"),
    pytest.param(b'5;a="\r\nhello\r\n', id="7.1.1 an open quote"),
    pytest.param(b"5;\r\nhello\r\n", id="7.1.1 an extension without a name"),
    pytest.param(b"5 ;a\r\nhello\r\n", id="7.1.1 space before an extension"),
    pytest.param(b"5;" + b"a" * 300 + b"\r\nhello\r\n", id="7.1.1 a long extension"),
    pytest.param(b"0\r\nX\r\n\r\n", id="7.1.2 a trailer without a colon"),
    pytest.param(b"0\r\nX : y\r\n\r\n", id="7.1.2 space before the colon"),
    pytest.param(b"0\r\nX: y\r\n z\r\n\r\n", id="7.1.2 obs-fold"),
    pytest.param(b"0\r\nX: y\n\r\n", id="7.1.2 bare LF"),
    pytest.param(b"0\r\n\n", id="7.1.2 bare LF at the end"),
    pytest.param(b"0\r\nX: \x00\r\n\r\n", id="7.1.2 NUL"),
    pytest.param(b"0\r\nContent-Length: 5\r\n\r\n", id="9110-6.5.1 a length"),
    pytest.param(b"0\r\nTransfer-Encoding: chunked\r\n\r\n", id="9110-6.5.1 a coding"),
    pytest.param(b"0\r\nHost: y\r\n\r\n", id="9110-6.5.1 a Host"),
    pytest.param(b"0\r\n" + b"X: y\r\n" * 2000 + b"\r\n", id="7.1.2 trailers over 8 KiB"),
]


@pytest.mark.parametrize("content", BAD)
def test_malformed_chunks_end_the_request(talk: Conversation, content: bytes) -> None:
    """The head may be out; the upstream then sees that its content is cut short, and nothing of what follows."""
    with talk.client() as client:
        status, fields, _ = client.send(post(CHUNKED, content=content + HIDDEN)).answer()
        assert (status, fields["connection"]) == (400, "close")
        assert client.rest() == b""
    talk.sentinel()
    assert [seen.start for seen in talk.upstream.requests if seen.is_whole] == [b"GET /sentinel"]
    assert b"hidden" not in talk.upstream.raw


@pytest.mark.parametrize(
    "content, raw",
    [
        pytest.param(b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", id="7.1 one chunk"),
        pytest.param(b"2\r\nhe\r\n003\r\nllo\r\n000\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", id="7.1 sizes made anew"),
        pytest.param(b"5;a=b;c\r\nhello\r\n0;d\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", id="7.1.1 extensions dropped"),
        pytest.param(b'5;a="b;\\"c"\r\nhello\r\n0\r\n\r\n', b"5\r\nhello\r\n0\r\n\r\n", id="7.1.1 quoted"),
        pytest.param(b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", id="7.1.2 trailers dropped"),
        pytest.param(b"0\r\n\r\n", b"0\r\n\r\n", id="7.1 empty"),
        pytest.param(b"A\r\n0123456789\r\n0\r\n\r\n", b"a\r\n0123456789\r\n0\r\n\r\n", id="7.1 upper case"),
    ],
)
def test_chunks_to_the_upstream_are_made_anew(talk: Conversation, content: bytes, raw: bytes) -> None:
    """Never forwarded as found. A request's trailers are dropped: nothing says that an upstream takes them."""
    seen = talk.passes(post(CHUNKED, content=content))
    assert seen.raw.partition(b"\r\n\r\n")[2] == raw


@pytest.mark.parametrize("at", range(1, 36, 2))
def test_chunks_may_be_split_anywhere(talk: Conversation, at: int) -> None:
    content = b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nX: y\r\n\r\n"
    data = post(CHUNKED, content=content)
    begin = len(data) - len(content)
    with talk.client() as client:
        client.send(data[: begin + at])
        until(lambda: talk.upstream.requests, "the head arrives")
        client.send(data[begin + at :])
        assert client.answer()[0] == 200
    assert talk.upstream.requests[0].content == b"hello"


def test_a_chunked_request_over_the_cap_is_cut_off(talk: Conversation) -> None:
    """DESIGN 1.5: when it passes the cap; what is out is seen to be cut short."""
    with talk.client() as client:
        client.send(post(CHUNKED, content=b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n2\r\nxx\r\n0\r\n\r\n" + HIDDEN))
        assert client.answer()[0] == 413
    talk.sentinel()
    assert [seen.start for seen in talk.upstream.requests if seen.is_whole] == [b"GET /sentinel"]


TRAILED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Digest\r\n\r\n2\r\nok\r\n0\r\n%b\r\n"


@pytest.mark.parametrize(
    "fields, trailers, end",
    [
        pytest.param([b"TE: trailers"], b"Digest: x\r\n", b"0\r\nDigest: x\r\n\r\n", id="wanted and legal"),
        pytest.param([b"TE: gzip, trailers"], b"A: b\r\nC: d\r\n", b"0\r\nA: b\r\nC: d\r\n\r\n", id="several"),
        pytest.param([b"Connection: TE", b"TE: trailers"], b"A: b\r\n", b"0\r\nA: b\r\n\r\n", id="with Connection"),
        pytest.param([], b"Digest: x\r\n", b"0\r\n\r\n", id="not asked for"),
        pytest.param([b"TE: gzip"], b"Digest: x\r\n", b"0\r\n\r\n", id="something else asked for"),
        pytest.param([b"TE: trailers"], b"Set-Cookie: a=b\r\nA: b\r\n", b"0\r\nA: b\r\n\r\n", id="6.5.1 a header's"),
        pytest.param([b"TE: trailers"], b"Connection: close\r\n", b"0\r\n\r\n", id="6.5.1 hop-by-hop"),
        pytest.param([b"TE: trailers"], b"", b"0\r\n\r\n", id="none"),
    ],
)
def test_trailers_go_to_clients_that_take_them(
    talk: Conversation, fields: list[bytes], trailers: bytes, end: bytes
) -> None:
    """RFC 9110 6.5.1, 10.1.4."""
    talk.upstream.will(TRAILED % trailers)
    with talk.client() as client:
        assert client.send(head(*fields, b"Connection: close")).head()[1]["transfer-encoding"] == "chunked"
        assert client.rest() == b"2\r\nok\r\n" + end
    wants = any(b"trailers" in field for field in fields)
    assert talk.upstream.requests[0].fields.get("te") == ("trailers" if wants else None)
    assert talk.upstream.requests[0].fields.get("connection") == ("TE" if wants else None)


def test_a_client_of_http_1_0_gets_no_trailers(talk: Conversation) -> None:
    talk.upstream.will(TRAILED % b"Digest: x\r\n")
    with talk.client() as client:
        assert client.send(head(b"TE: trailers", line=b"GET /a/x HTTP/1.0")).head()[0] == 200
        assert client.rest() == b"ok"
    assert "te" not in talk.upstream.requests[0].fields


def test_framing_fields_among_an_answers_trailers_cut_it_short(talk: Conversation) -> None:
    talk.upstream.will(Script(TRAILED % b"Content-Length: 3\r\n"))
    with talk.client() as client:
        client.send(head(b"TE: trailers"))
        assert client.head()[0] == 200
        assert b"0\r\n" not in client.rest()
