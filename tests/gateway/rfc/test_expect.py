"""RFC 9110 10.1.1 and 15.2: 100-continue from end to end, and the other interim answers."""

import pytest

from tests.gateway.rfc.conversation import Conversation, head, post
from tests.gateway.rfc.raw_upstream import OK, Script
from tests.node import until

EXPECT = b"Expect: 100-continue"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    "framing, content",
    [(b"Content-Length: 5", b"hello"), (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n")],
)
def test_the_upstream_says_go_on(talk: Conversation, framing: bytes, content: bytes) -> None:
    """10.1.1: a proxy forwards the expectation, and the answer to it."""
    talk.upstream.will(Script(b"", early=True))
    with talk.client() as client:
        client.send(post(EXPECT, framing))
        until(lambda: talk.upstream.requests, "the head arrives without content")
        upstream = talk.upstream.newest_busy().socket
        upstream.sendall(CONTINUE)
        assert client.head()[0] == 100
        client.send(content)
        until(lambda: talk.upstream.requests[0].is_whole, "the content arrives")
        upstream.sendall(OK)
        assert client.answer()[2] == b"ok"
    seen = talk.upstream.requests[0]
    assert (seen.fields["expect"], seen.content) == ("100-continue", b"hello")


def test_the_upstream_says_no(talk: Conversation) -> None:
    """10.1.1: the client sends no content, or sends it in vain: its connection closes, as nobody can tell."""
    talk.upstream.will(Script(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n", early=True))
    with talk.client() as client:
        status, fields, _ = client.send(post(EXPECT, b"Content-Length: 5")).answer()
        assert (status, fields["connection"]) == (417, "close")
        assert client.rest() == b""
    talk.sentinel()
    assert [seen.start for seen in talk.upstream.requests] == [b"POST /x", b"GET /sentinel"]


@pytest.mark.parametrize(
    "request_head, status",
    [
        pytest.param(post(EXPECT, b"Content-Length: 65537"), 413, id="too long"),
        pytest.param(post(EXPECT, b"Content-Length: 5", line=b"POST /nowhere HTTP/1.1"), 404, id="no route"),
        pytest.param(post(EXPECT, b"Content-Length: 5", line=b"POST /ws/x HTTP/1.1"), 426, id="upgrade required"),
        pytest.param(post(EXPECT, b"Content-Length: 5", line=b"POST /gone/x HTTP/1.1"), 502, id="no upstream"),
    ],
)
def test_the_gateway_says_no_before_any_content(talk: Conversation, request_head: bytes, status: int) -> None:
    with talk.client() as client:
        found, fields, _ = client.send(request_head).answer()
        assert (found, fields["connection"]) == (status, "close")
        assert client.rest() == b""


def test_a_client_need_not_wait(talk: Conversation) -> None:
    """10.1.1: it may send its content at once; the 100 may then be left out."""
    with talk.client() as client:
        client.send(post(EXPECT, b"Content-Length: 5", content=b"hello") + head())
        assert [client.answer()[0], client.answer()[0]] == [200, 200]
    assert talk.upstream.requests[0].content == b"hello"


def test_an_expectation_of_http_1_0_is_ignored(talk: Conversation) -> None:
    """10.1.1: and it gets no 100, which it would not know."""
    talk.upstream.will(CONTINUE + OK)
    with talk.client() as client:
        client.send(post(EXPECT, b"Content-Length: 5", content=b"hello", line=b"POST /a/x HTTP/1.0"))
        assert client.answer()[0] == 200
    assert "expect" not in talk.upstream.requests[0].fields


def test_an_unknown_expectation_does_not_go_on(talk: Conversation) -> None:
    assert "expect" not in talk.passes(head(b"Expect: the-unexpected")).fields


def test_a_100_nobody_asked_for_is_not_passed(talk: Conversation) -> None:
    """15.2.1: a client that did not ask takes it well, but has no use for it."""
    talk.upstream.will(CONTINUE + CONTINUE + OK)
    with talk.client() as client:
        assert client.send(head()).answer()[0] == 200


@pytest.mark.parametrize("status", [102, 103, 104, 199])
def test_interim_answers_are_passed_as_they_come(talk: Conversation, status: int) -> None:
    """15.2: a proxy MUST forward 1xx responses."""
    talk.upstream.will(b"HTTP/1.1 %d Soon\r\nLink: </a.css>\r\nConnection: X\r\nX: 1\r\n\r\n" % status * 2 + OK)
    with talk.client() as client:
        client.send(head())
        assert client.head() == (status, {"link": "</a.css>"})
        assert client.head() == (status, {"link": "</a.css>"})
        assert client.answer()[0] == 200
        assert client.send(head()).answer()[0] == 200


def test_an_interim_answer_does_not_wait_for_the_final_one(talk: Conversation) -> None:
    talk.upstream.will(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
    with talk.client() as client:
        assert client.send(head()).head()[0] == 103
        talk.upstream.newest_busy().socket.sendall(OK)
        assert client.answer()[0] == 200


def test_a_client_of_http_1_0_gets_no_interim_answer(talk: Conversation) -> None:
    """15.2: a server MUST NOT send a 1xx to an HTTP/1.0 client."""
    talk.upstream.will(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)
    with talk.client() as client:
        assert client.send(head(line=b"GET /a/x HTTP/1.0")).answer()[0] == 200


def test_a_length_in_an_interim_answer_is_not_passed(talk: Conversation) -> None:
    """8.6: a server MUST NOT send one; a client that believed it would take the final answer for content."""
    talk.upstream.will(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 40\r\n\r\n" + OK)
    with talk.client() as client:
        assert client.send(head()).head() == (103, {})
        assert client.answer()[2] == b"ok"


@pytest.mark.parametrize("content", [b"", b"hel"])
def test_an_early_answer_ends_the_connection(talk: Conversation, content: bytes) -> None:
    """RFC 9112 9.6: what follows of the content cannot be told from the next request."""
    talk.upstream.will(Script(OK, early=True))
    with talk.client() as client:
        status, fields, _ = client.send(post(b"Content-Length: 65536", content=content)).answer()
        assert (status, fields["connection"]) == (200, "close")
        client.send(head(line=b"GET /a/hidden HTTP/1.1"))
        assert client.rest() == b""
    talk.sentinel()
    assert [seen.start for seen in talk.upstream.requests] == [b"POST /x", b"GET /sentinel"]


def test_content_goes_on_under_an_early_answer_that_is_long(talk: Conversation) -> None:
    talk.upstream.will(Script(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab", early=True))
    with talk.client() as client:
        assert client.send(post(b"Content-Length: 5", content=b"he")).head()[0] == 200
        client.send(b"llo")
        until(lambda: talk.upstream.requests[0].is_whole, "the content arrives")
        talk.upstream.newest_busy().socket.sendall(b"cd")
        assert client.rest() == b"abcd"
