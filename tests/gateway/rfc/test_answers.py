"""RFC 9112 4 to 8 towards the upstream: a bad answer is a 502, never passed on, and never reaches anyone else."""

from __future__ import annotations

import json

import pytest

from tests.gateway.data_plane import Raw
from tests.gateway.rfc.conversation import Conversation, head
from tests.gateway.rfc.raw_upstream import OK, Script
from tests.node import until

OK_LINE = b"HTTP/1.1 200 OK\r\n"
SPLIT = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsplit!"


def fields(*lines: bytes) -> bytes:
    return OK_LINE + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


BAD = [
    pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", id="2.2 bare LF"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n", id="2.2 bare LF after a field"),
    pytest.param(b"HTTP/1.1 200 OK\rContent-Length: 0\r\r", id="2.2 bare CR"),
    pytest.param(b"\r\n" + OK, id="2.2 an empty line first"),
    pytest.param(fields(b"A: b\rSet-Cookie: s=1", b"Content-Length: 0"), id="2.2 splitting by CR"),
    pytest.param(fields(b"A: b\nSet-Cookie: s=1", b"Content-Length: 0"), id="2.2 splitting by LF"),
    pytest.param(fields(b"A: \x00", b"Content-Length: 0"), id="9110-5.5 NUL"),
    pytest.param(fields(b"A: \x1b[2J", b"Content-Length: 0"), id="9110-5.5 a control"),
    pytest.param(b"HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n", id="4 NUL in the reason"),
    pytest.param(b"HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n", id="4 CR in the reason"),
    pytest.param(b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", id="4 a status of two digits"),
    pytest.param(b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", id="4 a status of four digits"),
    pytest.param(b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", id="9110-15 a status below 100"),
    pytest.param(b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n", id="4 no status"),
    pytest.param(b"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", id="4 two spaces"),
    pytest.param(b"HTTP/2 200\r\nContent-Length: 0\r\n\r\n", id="2.3 HTTP/2"),
    pytest.param(b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", id="2.3 HTTP/1.2"),
    pytest.param(b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", id="2.3 in small letters"),
    pytest.param(b"ICY 200 OK\r\n\r\n", id="4 another protocol's"),
    pytest.param(b"SSH-2.0-OpenSSH_9\r\n", id="4 no HTTP at all"),
    pytest.param(b"\x15\x03\x01\x00\x02\x02\x46", id="4 a TLS alert"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="4 a request for an answer"),
    pytest.param(b"hello", id="4 content alone"),
    pytest.param(fields(b" A: b", b"Content-Length: 0"), id="5 space before the first field"),
    pytest.param(fields(b"A : b", b"Content-Length: 0"), id="5.1 space before the colon"),
    pytest.param(fields(b"A: b\r\n c", b"Content-Length: 0"), id="5.2 obs-fold"),
    pytest.param(fields(b"A", b"Content-Length: 0"), id="5 no colon"),
    pytest.param(fields(b": a", b"Content-Length: 0"), id="9110-5.1 an empty name"),
    pytest.param(fields(b"A(b): c", b"Content-Length: 0"), id="9110-5.1 a name that is no token"),
    pytest.param(fields(b"Content-Length: 1", b"Content-Length: 2") + b"xy", id="6.3 two lengths"),
    pytest.param(fields(b"Content-Length: 1", b"Content-Length: 1") + b"x", id="6.3 one length twice"),
    pytest.param(fields(b"Content-Length: 1, 1") + b"x", id="8.6 a list"),
    pytest.param(fields(b"Content-Length: +1") + b"x", id="8.6 a sign"),
    pytest.param(fields(b"Content-Length: -1") + b"x", id="8.6 negative"),
    pytest.param(fields(b"Content-Length:"), id="8.6 empty"),
    pytest.param(fields(b"Content-Length: 0x1") + b"x", id="8.6 hexadecimal"),
    pytest.param(fields(b"Content-Length: 99999999999999999999"), id="8.6 overflow"),
    pytest.param(fields(b"Content-Length: 3", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", id="6.3 both framings"),
    pytest.param(fields(b"Transfer-Encoding: gzip"), id="6.1 a coding not asked for"),
    pytest.param(fields(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", id="6.1 another before chunked"),
    pytest.param(fields(b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n", id="6.1 chunked twice"),
    pytest.param(fields(b"Transfer-Encoding: identity"), id="6.1 identity"),
    pytest.param(fields(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n", id="6.1 a look-alike"),
    pytest.param(fields(b"Transfer-Encoding: chunked").replace(b"1.1", b"1.0") + b"0\r\n\r\n", id="6.1 in HTTP/1.0"),
    pytest.param(b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="6.1 a coding in a 204"),
    pytest.param(b"HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n" + OK, id="6.1 a coding in a 1xx"),
    pytest.param(b"HTTP/1.1 100 X\nA: b\n\n" + OK, id="9110-15.2 a malformed 1xx"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\nnonsense", id="9110-15.2 nonsense after a 1xx"),
    pytest.param(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", id="9110-7.8 unasked"
    ),
    pytest.param(fields(b"A: " + b"x" * 70_000), id="4 a head over 64 KiB"),
    pytest.param(fields(b"A: " + b"x" * 70_000)[:-4], id="4 a head without end"),
]


@pytest.mark.parametrize("answer", BAD)
def test_a_bad_answer_is_a_502(talk: Conversation, answer: bytes) -> None:
    talk.upstream.will(answer)
    with talk.client() as client:
        status, _, content = client.send(head()).answer()
        assert (status, json.loads(content)["type"]) == (502, "urn:tollgate:bad_gateway")
        busy = talk.upstream.newest_busy()
        assert client.send(head()).answer()[2] == b"ok", "the client's connection is sound"
    until(lambda: busy.is_gone, "the upstream's connection is closed")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTT", id="a part of the status line"),
        pytest.param(OK_LINE, id="a part of the head"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="only a 1xx"),
        pytest.param(b"HTTP/1.1 103 X\r\n\r\nHTTP/1.1 2", id="a 1xx and a part"),
    ],
)
@pytest.mark.parametrize("end", ["close", "reset"])
def test_an_answer_that_ends_before_its_head_does_is_a_502(talk: Conversation, answer: bytes, end: str) -> None:
    """RFC 9112 8. A POST, so that nothing is tried again."""
    talk.sentinel()
    talk.upstream.reset()
    talk.upstream.will(Script(answer, then=end))
    with talk.client() as client:
        status = client.send(head(line=b"POST /a/x HTTP/1.1")).head()[0]
        while status in (100, 103):
            status = client.head()[0]
        assert status == 502
    assert len(talk.upstream.requests) == 1


@pytest.mark.parametrize("answer", [b"HTT", OK_LINE + b"A: b\r\n"])
def test_what_has_been_answered_in_part_is_not_tried_again(talk: Conversation, answer: bytes) -> None:
    """DESIGN 1.2: retries only before a byte of the answer."""
    talk.upstream.will(Script(answer, then="close"))
    with talk.client() as client:
        assert client.send(head()).answer()[0] == 502
    assert len(talk.upstream.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(fields(b"Content-Length: 10") + b"hello", id="6.2 of known length"),
        pytest.param(fields(b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n", id="7.1 without the last chunk"),
        pytest.param(fields(b"Transfer-Encoding: chunked") + b"a\r\nhello", id="7.1 inside a chunk"),
        pytest.param(fields(b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n", id="7.1 without its last CRLF"),
        pytest.param(
            fields(b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\nX: y\r\n", id="7.1.2 inside trailers"
        ),
        pytest.param(fields(b"Transfer-Encoding: chunked") + b"5\r\nhello!\r\n", id="7.1 a chunk too long"),
        pytest.param(fields(b"Transfer-Encoding: chunked") + b"5\r\nhello\r\ng\r\n", id="7.1 no chunk size"),
        pytest.param(fields(b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\nX\r\n\r\n", id="7.1.2 a bad trailer"),
    ],
)
@pytest.mark.parametrize("end", ["close", "reset"])
def test_an_answer_cut_short_is_cut_short_for_the_client(talk: Conversation, answer: bytes, end: str) -> None:
    """RFC 9112 8: what is incomplete must not look complete."""
    talk.upstream.will(Script(answer, then=end))
    with talk.client() as client:
        assert ends_short(client.send(head()))


def ends_short(client: Raw) -> bool:
    try:
        status, _, _ = client.answer()
    except (AssertionError, ConnectionResetError, ValueError):
        return True
    return status == 502  # All of it came at once, so that it was refused before a byte went on.


def test_a_reset_while_content_runs_until_the_close_is_no_end(talk: Conversation) -> None:
    """RFC 9112 8: a connection error is no close, so there is no last chunk."""
    talk.upstream.will(Script(OK_LINE + b"\r\nhello"))
    with talk.client() as client:
        assert client.send(head()).head()[0] == 200
        assert client.file.read(10) == b"5\r\nhello\r\n"
        talk.upstream.end(talk.upstream.newest_busy(), "reset")
        assert client.rest() == b""


def test_a_client_of_http_1_0_sees_by_a_reset_that_its_answer_is_cut_short(talk: Conversation) -> None:
    """RFC 9112 8: it takes the close for the end of the content, and must not."""
    talk.upstream.will(Script(OK_LINE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"))
    with talk.client() as client:
        assert client.send(head(line=b"GET /a/x HTTP/1.0")).head()[0] == 200
        assert client.file.read(5) == b"hello"
        talk.upstream.end(talk.upstream.newest_busy(), "close")
        with pytest.raises(ConnectionResetError):
            client.file.read(1)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK + SPLIT, id="after a length"),
        pytest.param(
            fields(b"Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\n\r\n" + SPLIT, id="after the last chunk"
        ),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n" + SPLIT, id="after a 204"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\nsplit!", id="after a 304"),
        pytest.param(b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\nsplit!", id="content of a 204"),
        pytest.param(OK + b"\r\n", id="an empty line"),
    ],
)
def test_bytes_after_an_answer_never_reach_the_next(talk: Conversation, answer: bytes) -> None:
    """RFC 9112 9.2: they are no answer to anything, and their connection is not used again."""
    talk.upstream.will(answer)
    with talk.client() as client:
        assert client.send(head()).answer()[0] in (200, 204, 304)
        used = talk.upstream.newest_busy()
        assert client.send(head()).answer()[2] == b"ok"
        assert talk.upstream.newest_busy() is not used
    until(lambda: used.is_gone, "its connection is closed")


def test_content_of_an_answer_to_head_never_reaches_the_next(talk: Conversation) -> None:
    """RFC 9110 9.3.2: there is none, whatever an upstream thinks."""
    talk.upstream.will(SPLIT)
    with talk.client() as client:
        client.send(head(line=b"HEAD /a/x HTTP/1.1") + head())
        status, answered, _ = client.answer(to_head=True)
        assert (status, answered["content-length"]) == (200, "6")
        used = talk.upstream.connection_of(talk.upstream.requests[0])
        assert client.answer()[2] == b"ok"
    until(lambda: used.is_gone, "its connection is closed")


@pytest.mark.parametrize("unasked", [SPLIT, b"\r\n", b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"x"])
def test_a_resting_connection_that_speaks_unasked_is_closed(talk: Conversation, unasked: bytes) -> None:
    """RFC 9112 9.2."""
    with talk.client() as client:
        assert client.send(head()).answer()[2] == b"ok"
        resting = talk.upstream.newest_busy()
        resting.socket.sendall(unasked)
        until(lambda: resting.is_gone, "the connection is closed")
        assert client.send(head()).answer()[2] == b"ok"
        assert talk.upstream.newest_busy() is not resting


def test_a_resting_connection_that_is_closed_is_not_used(talk: Conversation) -> None:
    """A POST, which could not be tried again."""
    with talk.client() as client:
        for _ in range(5):
            assert client.send(head()).answer()[2] == b"ok"
            resting = talk.upstream.newest_busy()
            talk.upstream.end(resting, "close")
            talk.sentinel()
            assert client.send(head(b"Content-Length: 2", line=b"POST /a/x HTTP/1.1") + b"hi").answer()[2] == b"ok"


@pytest.mark.parametrize(
    "answer, sent_on, stays",
    [
        pytest.param(fields(b"Content-Length: 2") + b"ok", {"content-length": "2"}, True, id="6.2 length"),
        pytest.param(
            fields(b"Transfer-Encoding: Chunked") + b"1\r\no\r\n1;x=y\r\nk\r\n0\r\nT: u\r\n\r\n",
            {"transfer-encoding": "chunked"},
            True,
            id="7.1 chunks are made anew",
        ),
        pytest.param(
            fields(b"Content-Length: 2", b"Connection: close") + b"ok", {"content-length": "2"}, False, id="9.6 close"
        ),
        pytest.param(
            b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", {"content-length": "2"}, False, id="9.3 HTTP/1.0"
        ),
        pytest.param(
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
            {"content-length": "2"},
            True,
            id="C.2.2 HTTP/1.0 that stays",
        ),
    ],
)
def test_an_answer_goes_on_and_its_connection_is_kept_or_not(
    talk: Conversation, answer: bytes, sent_on: dict[str, str], stays: bool
) -> None:
    talk.upstream.will(answer)
    with talk.client() as client:
        status, answered, content = client.send(head()).answer()
        assert (status, content) == (200, b"ok")
        framing = {name: answered[name] for name in ("content-length", "transfer-encoding") if name in answered}
        assert framing == sent_on
        assert "connection" not in answered, "the client's connection is another"
        used = talk.upstream.newest_busy()
        assert client.send(head()).answer()[2] == b"ok"
        assert (talk.upstream.newest_busy() is used) is stays


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
@pytest.mark.parametrize("end", ["close", "shut"])
def test_content_until_the_close_gets_chunks(talk: Conversation, version: bytes, end: str) -> None:
    """RFC 9112 6.3: and so the client's connection goes on."""
    talk.upstream.will(Script(version + b" 200 OK\r\n\r\nhello", then=end))
    with talk.client() as client:
        status, answered, content = client.send(head()).answer()
        assert (status, answered["transfer-encoding"], content) == (200, "chunked", b"hello")
        assert client.send(head()).answer()[2] == b"ok"


@pytest.mark.parametrize(
    "script",
    [
        Script(fields(b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n"),
        Script(OK_LINE + b"\r\nhello", then="close"),
    ],
)
def test_a_client_of_http_1_0_gets_neither_chunks_nor_a_way_to_wait(talk: Conversation, script: Script) -> None:
    """RFC 9112 6.1, 7.1: no transfer coding to HTTP/1.0, even where it wants to stay."""
    talk.upstream.will(script)
    with talk.client() as client:
        request = head(b"Connection: keep-alive", line=b"GET /a/x HTTP/1.0")
        status, answered = client.send(request).head()
        assert (status, answered["connection"]) == (200, "close")
        assert "transfer-encoding" not in answered
        assert client.rest() == b"hello"


def test_hop_by_hop_fields_of_an_answer_do_not_pass(talk: Conversation) -> None:
    """RFC 9110 7.6.1; and those that are the gateway's own (DESIGN 1.5)."""
    lines = [
        b"Connection: X-Hop, keep-alive",
        b"X-Hop: 1",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: x",
        b"Trailer: T",
        b"Upgrade: h2c",
        b"X-Request-Id: theirs",
        b"RateLimit: x",
        b"Date: Sun, 06 Nov 1994 08:49:37 GMT",
        b"X-Stays: 1",
        b"Set-Cookie: a=1",
        b"Set-Cookie: b=2",
        b"Content-Length: 0",
    ]
    talk.upstream.will(fields(*lines))
    with talk.client() as client:
        _, answered = client.send(head(b"X-Request-Id: mine")).head()
    assert answered == {
        "date": "Sun, 06 Nov 1994 08:49:37 GMT",
        "x-stays": "1",
        "set-cookie": "b=2",
        "content-length": "0",
        "x-request-id": "mine",
    }


def test_connection_cannot_name_the_length_of_an_answer_away(talk: Conversation) -> None:
    talk.upstream.will(fields(b"Connection: Content-Length", b"Content-Length: 2") + b"ok")
    with talk.client() as client:
        assert client.send(head()).answer()[1]["content-length"] == "2"
