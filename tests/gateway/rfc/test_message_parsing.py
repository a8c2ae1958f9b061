"""RFC 9112 2: what is no message is refused, and nothing of it goes on."""

import pytest

from tests.gateway.rfc.conversation import Conversation, head

REFUSED = [
    pytest.param(b"GET /a/x HTTP/1.1\nHost: x\n\n", id="2.2 bare LF throughout"),
    pytest.param(b"GET /a/x HTTP/1.1\nHost: x\r\n\r\n", id="2.2 bare LF after the request line"),
    pytest.param(b"GET /a/x HTTP/1.1\r\nHost: x\n\r\n", id="2.2 bare LF after a field"),
    pytest.param(b"GET /a/x HTTP/1.1\r\nHost: x\r\n\n", id="2.2 bare LF for the empty line"),
    pytest.param(b"\nGET /a/x HTTP/1.1\r\nHost: x\r\n\r\n", id="2.2 bare LF before the request line"),
    pytest.param(b"GET /a/x HTTP/1.1\rHost: x\r\r", id="2.2 bare CR throughout"),
    pytest.param(b"GET /a/x HTTP/1.1\rX: y\r\nHost: x\r\n\r\n", id="2.2 bare CR in the request line"),
    pytest.param(b"GET /a/x HTTP/1.1\r\r\nHost: x\r\n\r\n", id="2.2 two CRs"),
    pytest.param(head(b"X: y\rZ: w"), id="2.2 bare CR in a value"),
    pytest.param(head(b"X\r: y"), id="2.2 bare CR in a name"),
    pytest.param(b"\rGET /a/x HTTP/1.1\r\nHost: x\r\n\r\n", id="2.2 bare CR before the request line"),
    pytest.param(head(line=b"GET /a/\x00 HTTP/1.1"), id="2.2 NUL in the target"),
    pytest.param(head(b"X: \x00"), id="9110-5.5 NUL in a value"),
    pytest.param(head(b"X\x00: y"), id="9110-5.1 NUL in a name"),
    pytest.param(b"GET /a/x HTTP/1.1\r\n Host: x\r\n\r\n", id="2.2 space before the first field"),
    pytest.param(b"GET /a/x HTTP/1.1\r\n\tX: y\r\nHost: x\r\n\r\n", id="2.2 tab before the first field"),
    pytest.param(b" GET /a/x HTTP/1.1\r\nHost: x\r\n\r\n", id="2.2 space before the request line"),
    pytest.param(b"\xef\xbb\xbfGET /a/x HTTP/1.1\r\nHost: x\r\n\r\n", id="2.2 a byte order mark"),
    pytest.param("GET /a/x HTTP/1.1\r\nHost: x\r\n\r\n".encode("utf-16"), id="2.2 not a superset of US-ASCII"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="2.1 TLS on a plain port"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="2.3 the HTTP/2 preface"),
    pytest.param(b"GET /a/x\r\n\r\n", id="2.3 HTTP/0.9"),
    pytest.param(b"SSH-2.0-client\r\n\r\n", id="2.1 another protocol"),
    pytest.param(b"HTTP/1.1 200 OK\r\nHost: x\r\n\r\n", id="2.1 an answer for a request"),
    *(
        pytest.param(head(line=b"GET /a/x " + version), id=f"2.3 version {version.decode()}")
        for version in (
            b"HTTP/1.2",
            b"HTTP/2.0",
            b"HTTP/3",
            b"HTTP/1",
            b"HTTP/1.",
            b"HTTP/.1",
            b"HTTP/1.10",
            b"HTTP/01.1",
            b"HTTP/1.1x",
            b"HTTP/+1.1",
            b"HTTP/1,1",
            b"http/1.1",
            b"Http/1.1",
            b"HTTPS/1.1",
            b"HTTP 1.1",
            b"HTTP/ 1.1",
            b"HTTP/1.1 HTTP/1.1",
            b"ICY/1.1",
        )
    ),
]

PASSED = [
    pytest.param(b"\r\n" + head(), id="2.2 one empty line before the request line"),
    pytest.param(b"\r\n" * 5 + head(), id="2.2 several empty lines before it"),
    pytest.param(head(line=b"GET /a/x HTTP/1.0"), id="2.3 HTTP/1.0"),
    pytest.param(head(line=b"GET /a/x HTTP/1.0", host=None), id="2.3 HTTP/1.0 without Host"),
    pytest.param(head(b"X: \xff\x80"), id="9110-5.5 obs-text in a value"),
]


@pytest.mark.parametrize("data", REFUSED)
def test_what_is_no_message_is_refused(talk: Conversation, data: bytes) -> None:
    talk.refuses(data)


@pytest.mark.parametrize("data", PASSED)
def test_what_a_recipient_should_take_is_taken(talk: Conversation, data: bytes) -> None:
    assert talk.passes(data).start == b"GET /x"


def test_a_refusal_comes_before_the_head_has_ended(talk: Conversation) -> None:
    """2.2: nothing that may follow could mend a bare LF, so there is nothing to wait for."""
    talk.refuses(b"GET /a/x HTTP/1.1\nHost: x")


def test_what_follows_a_refused_message_is_not_read(talk: Conversation) -> None:
    talk.refuses(head(b"X : y") + head())


@pytest.mark.parametrize("at", range(1, len(head(b"X-A: b")), 3))
def test_a_head_may_come_in_two_parts(talk: Conversation, at: int) -> None:
    data = head(b"X-A: b")
    with talk.client() as client:
        client.send(data[:at])
        assert client.send(data[at:]).answer()[2] == b"ok"
    assert [seen.fields["x-a"] for seen in talk.upstream.requests] == ["b"]


def test_a_head_may_come_byte_by_byte(talk: Conversation) -> None:
    with talk.client() as client:
        for byte in head(b"X-A: b"):
            client.send(bytes((byte,)))
        assert client.answer()[2] == b"ok"
    assert [seen.fields["x-a"] for seen in talk.upstream.requests] == ["b"]
