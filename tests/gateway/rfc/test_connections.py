"""RFC 9112 9: persistence, pipelining, half-close, and what is left of an exchange that went wrong."""

from __future__ import annotations

import socket
import struct

import pytest

from tests.gateway.rfc.conversation import Conversation, head, post
from tests.gateway.rfc.raw_upstream import OK, Script
from tests.node import until


def numbered(count: int) -> bytes:
    return b"".join(head(line=b"GET /a/%d HTTP/1.1" % n) for n in range(count))


def starts(talk: Conversation) -> list[bytes]:
    return [seen.start for seen in talk.upstream.requests]


@pytest.mark.parametrize(
    "line, fields, stays",
    [
        pytest.param(b"GET /a/x HTTP/1.1", [], True, id="9.3 HTTP/1.1 stays"),
        pytest.param(b"GET /a/x HTTP/1.1", [b"Connection: close"], False, id="9.6 close"),
        pytest.param(b"GET /a/x HTTP/1.1", [b"Connection: CLOSE"], False, id="9.6 close in any case"),
        pytest.param(b"GET /a/x HTTP/1.1", [b"Connection: x, close"], False, id="9.6 close in a list"),
        pytest.param(b"GET /a/x HTTP/1.1", [b"Connection: x", b"Connection: close"], False, id="9.6 in a second field"),
        pytest.param(b"GET /a/x HTTP/1.1", [b"Connection: close, keep-alive"], False, id="9.6 close wins"),
        pytest.param(b"GET /a/x HTTP/1.1", [b"Connection: closed"], True, id="9.6 a look-alike"),
        pytest.param(b"GET /a/x HTTP/1.0", [], False, id="9.3 HTTP/1.0 closes"),
        pytest.param(b"GET /a/x HTTP/1.0", [b"Connection: keep-alive"], True, id="C.2.2 HTTP/1.0 asks to stay"),
        pytest.param(b"GET /a/x HTTP/1.0", [b"Connection: close, keep-alive"], False, id="9.6 close wins in HTTP/1.0"),
    ],
)
def test_persistence(talk: Conversation, line: bytes, fields: list[bytes], stays: bool) -> None:
    with talk.client() as client:
        status, answered, _ = client.send(head(*fields, line=line)).answer()
        assert status == 200
        if stays:
            assert answered.get("connection", "keep-alive") == "keep-alive"
            assert client.send(head()).answer()[0] == 200
        else:
            assert answered["connection"] == "close"
            assert client.rest() == b""


def test_a_http_1_0_client_that_stays_is_told_so(talk: Conversation) -> None:
    """C.2.2: without the option it would wait for the close."""
    with talk.client() as client:
        request = head(b"Connection: keep-alive", line=b"GET /a/x HTTP/1.0")
        assert client.send(request).answer()[1]["connection"] == "keep-alive"


def test_pipelined_requests_are_answered_in_order(talk: Conversation) -> None:
    """9.3.2: whatever they are, and refusals in their turn too."""
    talk.upstream.will(*(OK.replace(b"ok", b"%d!" % n) for n in range(3)))
    with talk.client() as client:
        client.send(
            head(line=b"GET /a/0 HTTP/1.1")
            + head(line=b"GET /nowhere HTTP/1.1")
            + post(b"Content-Length: 2", content=b"hi")
            + post(b"Transfer-Encoding: chunked", content=b"2\r\nhi\r\n0\r\n\r\n")
            + head(line=b"HEAD /a/3 HTTP/1.1")
        )
        assert client.answer()[2] == b"0!"
        assert client.answer()[0] == 404
        assert client.answer()[2] == b"1!"
        assert client.answer()[2] == b"2!"
        assert client.answer(to_head=True)[0] == 200
    assert starts(talk) == [b"GET /0", b"POST /x", b"POST /x", b"HEAD /3"]


def test_one_request_is_forwarded_at_a_time(talk: Conversation) -> None:
    """9.3.2: the second goes on when the first has been answered, so that order is kept and none is lost."""
    talk.upstream.will(Script(b""))
    with talk.client() as client:
        client.send(numbered(2))
        until(lambda: talk.upstream.requests, "the first is there")
        assert starts(talk) == [b"GET /0"]
        talk.upstream.newest_busy().socket.sendall(OK)
        assert [client.answer()[0], client.answer()[0]] == [200, 200]
    assert starts(talk) == [b"GET /0", b"GET /1"]


def test_nothing_after_close_is_answered(talk: Conversation) -> None:
    """9.6: a server MUST NOT process what comes after a request with the close option."""
    with talk.client() as client:
        client.send(head(b"Connection: close") + numbered(1))
        assert client.answer()[0] == 200
        assert client.rest() == b""
    talk.sentinel()
    assert starts(talk) == [b"GET /x", b"GET /sentinel"]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_half_closed_client_gets_every_answer(talk: Conversation, count: int) -> None:
    """9.6: it may close its sending side after its last request and read on."""
    with talk.client() as client:
        client.send(numbered(count))
        client.socket.shutdown(socket.SHUT_WR)
        assert [client.answer()[0] for _ in range(count)] == [200] * count
        assert client.rest() == b""
    assert len(starts(talk)) == count


def test_a_half_closed_client_gets_refusals_in_their_turn(talk: Conversation) -> None:
    with talk.client() as client:
        missing = head(line=b"GET /nowhere HTTP/1.1")
        client.send(head() + missing + missing + post(b"Content-Length: 2", content=b"hi") + missing)
        client.socket.shutdown(socket.SHUT_WR)
        assert [client.answer()[0] for _ in range(5)] == [200, 404, 404, 200, 404]
        assert client.rest() == b""


def test_a_half_close_inside_pipelined_content_ends_the_connection(talk: Conversation) -> None:
    with talk.client() as client:
        client.send(head() + post(b"Content-Length: 3", content=b"hi"))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.answer()[0] == 200
        assert client.rest() == b""
    talk.sentinel()
    assert not any(seen.is_whole for seen in talk.upstream.requests if seen.start == b"POST /x")


def test_a_half_closed_client_gets_an_answer_that_is_late(talk: Conversation) -> None:
    talk.upstream.will(Script(b""))
    with talk.client() as client:
        client.send(numbered(3))
        client.socket.shutdown(socket.SHUT_WR)
        until(lambda: talk.upstream.requests, "the first is there")
        talk.upstream.newest_busy().socket.sendall(OK)
        assert [client.answer()[0] for _ in range(3)] == [200] * 3
        assert client.rest() == b""


@pytest.mark.parametrize("tail", [b"GET /a/x HT", b"\r", head(b"Connection: close")[:-1]])
def test_a_half_close_inside_a_head_ends_the_connection(talk: Conversation, tail: bytes) -> None:
    with talk.client() as client:
        client.send(numbered(2) + tail)
        client.socket.shutdown(socket.SHUT_WR)
        assert [client.answer()[0], client.answer()[0]] == [200, 200]
        assert client.rest() == b""
    talk.sentinel()
    assert starts(talk) == [b"GET /0", b"GET /1", b"GET /sentinel"]


@pytest.mark.parametrize(
    "framing, part",
    [(b"Content-Length: 10", b"hello"), (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n")],
)
def test_content_cut_short_by_the_client_is_cut_short_for_the_upstream(
    talk: Conversation, framing: bytes, part: bytes
) -> None:
    """RFC 9112 8: an incomplete request is never made to look complete."""
    with talk.client() as client:
        client.send(post(framing, content=part))
        until(lambda: talk.upstream.raw.endswith(b"hello\r\n" if b"\r\n" in part else b"hello"), "the part is there")
        busy = talk.upstream.newest_busy()
        client.socket.shutdown(socket.SHUT_WR)
        until(lambda: busy.is_gone, "the upstream's connection is closed")
    assert not talk.upstream.requests[0].is_whole


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_while_waiting_takes_the_upstream_connection_with_it(
    talk: Conversation, reset: bool
) -> None:
    """Its answer must not reach anyone else."""
    talk.upstream.will(Script(b""))
    with talk.client() as client:
        client.send(head())
        until(lambda: talk.upstream.requests, "the request is there")
        busy = talk.upstream.newest_busy()
        if reset:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if not reset:
        busy.socket.sendall(OK)  # A closed client looks like a half-closed one until it is written to.
    until(lambda: busy.is_gone or not reset, "the upstream's connection is closed")
    talk.sentinel()


def test_content_of_a_failed_exchange_never_reaches_the_next_upstream(talk: Conversation) -> None:
    """What waited for a connection that never came would be read as the next request."""
    hidden = head(line=b"GET /hidden HTTP/1.1")
    with talk.client() as client:
        client.send(post(b"Content-Length: %d" % len(hidden), content=hidden, line=b"POST /gone/x HTTP/1.1"))
        assert client.answer()[0] == 502
        client.send(head() + head())
        assert [client.answer()[0], client.answer()[0]] == [200, 200]
    assert starts(talk) == [b"GET /x", b"GET /x"]
    assert b"hidden" not in talk.upstream.raw


def test_empty_lines_between_requests_are_ignored(talk: Conversation) -> None:
    """2.2: old clients send one after content."""
    with talk.client() as client:
        client.send(post(b"Content-Length: 2", content=b"hi\r\n") + b"\r\n" + head())
        assert [client.answer()[0], client.answer()[0]] == [200, 200]


def test_a_smuggled_request_in_a_pipeline_ends_it(talk: Conversation) -> None:
    """What came before is answered, what is malformed is refused, what follows is not read."""
    with talk.client() as client:
        client.send(numbered(1) + post(b"Content-Length: 1", b"Transfer-Encoding: chunked") + numbered(1))
        assert [client.answer()[0], client.answer()[0]] == [200, 400]
        assert client.rest() == b""
    talk.sentinel()
    assert starts(talk) == [b"GET /0", b"GET /sentinel"]
