"""RFC 9110 7.8: a change of protocol is asked for, granted, and then a tunnel; or it is none."""

import pytest

from tests.gateway.rfc.conversation import Conversation, head
from tests.node import until

UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
LINE = b"GET /ws/x HTTP/1.1"


def test_a_tunnel_carries_any_bytes_both_ways(talk: Conversation) -> None:
    talk.upstream.will(SWITCH + b"first")
    with talk.client() as client:
        status, fields = client.send(head(*UPGRADE, line=LINE) + b"early").head()
        assert (status, fields["upgrade"], fields["connection"]) == (101, "websocket", "Upgrade")
        assert client.file.read(5) == b"first"
        client.send(b"GET / HTTP/1.1\nHost\x00")
        until(lambda: talk.upstream.raw.endswith(b"earlyGET / HTTP/1.1\nHost\x00"), "all of it arrives")
        talk.upstream.newest_busy().socket.sendall(b"HTTP/1.1 \x00")
        assert client.file.read(10) == b"HTTP/1.1 \x00"
        talk.upstream.end(talk.upstream.newest_busy(), "close")
        assert client.rest() == b""


def test_a_tunnel_ends_with_its_client(talk: Conversation) -> None:
    talk.upstream.will(SWITCH)
    with talk.client() as client:
        assert client.send(head(*UPGRADE, line=LINE)).head()[0] == 101
        busy = talk.upstream.newest_busy()
    until(lambda: busy.is_gone, "the upstream's side is closed")


def test_what_is_sent_upstream(talk: Conversation) -> None:
    talk.upstream.will(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")
    seen = talk.passes(head(*UPGRADE, b"Sec-WebSocket-Key: x", line=LINE), 400)
    assert (seen.fields["connection"], seen.fields["upgrade"]) == ("Upgrade", "websocket")
    assert seen.fields["sec-websocket-key"] == "x"


def test_a_refused_upgrade_is_no_tunnel(talk: Conversation) -> None:
    """What follows is the next request, held to every rule: else a refused upgrade would smuggle."""
    talk.upstream.will(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n")
    with talk.client() as client:
        client.send(head(*UPGRADE, b"Sec-WebSocket-Version: 777", line=LINE) + head(line=b"GET /nowhere HTTP/1.1"))
        assert client.answer()[0] == 426
        assert client.answer()[0] == 404
    talk.sentinel()
    assert [seen.start for seen in talk.upstream.requests] == [b"GET /x", b"GET /sentinel"]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param((b"Upgrade: websocket",), id="without Connection"),
        pytest.param((b"Connection: Upgrade",), id="without Upgrade"),
        pytest.param((b"Connection: Upgrade", b"Upgrade: h2c"), id="another protocol"),
        pytest.param((b"Connection: Upgrades", b"Upgrade: websocket"), id="a look-alike"),
        pytest.param((), id="not at all"),
    ],
)
def test_a_websocket_service_takes_nothing_else(talk: Conversation, fields: tuple[bytes, ...]) -> None:
    with talk.client() as client:
        status, answered, _ = client.send(head(*fields, line=LINE)).answer()
        assert (status, answered["upgrade"]) == (426, "websocket")
    talk.sentinel()
    assert len(talk.upstream.requests) == 1


def test_http_1_0_cannot_upgrade(talk: Conversation) -> None:
    """A server MUST ignore the field in an HTTP/1.0 request."""
    with talk.client() as client:
        assert client.send(head(*UPGRADE, line=b"GET /ws/x HTTP/1.0")).answer()[0] == 426


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c", b"TLS/1.0"])
def test_an_http_service_forwards_no_upgrade(talk: Conversation, protocol: bytes) -> None:
    fields = (
        b"Connection: Upgrade, HTTP2-Settings",
        b"Upgrade: " + protocol,
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    )
    seen = talk.passes(head(*fields))
    assert not {"upgrade", "connection", "http2-settings"} & set(seen.fields)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n", id="without Upgrade"),
        pytest.param(SWITCH.replace(b"\r\n", b"\n"), id="with bare LF"),
    ],
)
def test_a_bad_101_is_a_502(talk: Conversation, answer: bytes) -> None:
    """RFC 9110 15.2.2: it must name the protocol."""
    talk.upstream.will(answer)
    with talk.client() as client:
        assert client.send(head(*UPGRADE, line=LINE)).answer()[0] == 502


@pytest.mark.parametrize("framing", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
def test_a_handshake_with_content_is_refused(talk: Conversation, framing: bytes) -> None:
    """Some readers take it for content, others for the first bytes of the other protocol."""
    talk.refuses(head(*UPGRADE, framing, line=LINE) + b"hello")
