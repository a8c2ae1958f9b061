"""An upstream's answer heads: as strict as requests (RFC 9112 4, 5, 6.3)."""

import pytest

from gateway.http.errors import ProtocolError
from gateway.http.response import CHUNKED, UNTIL_CLOSE, ResponseHead


def parse(data: bytes, *, to_head_request: bool = False) -> ResponseHead:
    head = ResponseHead()
    assert head.parse(data, to_head_request=to_head_request) == len(data)
    return head


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 99 Low\r\n\r\n", id="4 status"),
        pytest.param(b"HTTP/2 200 OK\r\n\r\n", id="2.3 version"),
        pytest.param(b"ICY 200 OK\r\n\r\n", id="4 no HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", id="5.1 space before colon"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", id="5.2 obs-fold"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: x\r\n\r\n", id="splitting by bare CR"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: b\nSet-Cookie: x\r\n\r\n", id="splitting by bare LF"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", id="6.3 two lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", id="6.3 a length repeated"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", id="8.6 sign"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            id="6.3 both framings",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", id="6.1 unknown coding"),
        pytest.param(b"HTTP/1.1 304 X\r\nTransfer-Encoding: gzip\r\n\r\n", id="6.1 the same without content"),
        pytest.param(b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n", id="6.1 a coding in a 204"),
        pytest.param(b"HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n", id="6.1 a coding in a 1xx"),
        pytest.param(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", id="6.1 chunked in HTTP/1.0"),
    ],
)
def test_a_malformed_answer_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(data)
    assert caught.value.code == "bad_gateway"


@pytest.mark.parametrize(
    "data, to_head_request, framing",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", False, 5, id="length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", True, 0, id="9110-9.3.2 HEAD has no content"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", False, 0, id="9110-15.4.5 304"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", False, 0, id="9110-15.3.5 204"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", False, CHUNKED, id="chunked"),
        pytest.param(b"HTTP/1.1 200\r\n\r\n", False, UNTIL_CLOSE, id="6.3 until close, no reason phrase"),
    ],
)
def test_framing_follows_the_order_of_rfc_9112_6_3(data: bytes, to_head_request: bool, framing: int) -> None:
    assert parse(data, to_head_request=to_head_request).framing == framing


def test_hop_by_hop_fields_and_our_own_do_not_pass() -> None:
    head = parse(
        b"HTTP/1.1 200 OK\r\nServer: x\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n"
        b"X-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n"
    )
    assert head.fields == b"Server: x\r\nContent-Length: 0\r\n"
    assert not head.keeps_alive


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"SSH-2.0-OpenSSH\r\n", id="4 another protocol"),
        pytest.param(b"\x15\x03\x01", id="4 TLS"),
        pytest.param(b"HTTP/1.1 200 OK\nA", id="2.2 bare LF"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: \x00", id="9110-5.5 NUL"),
    ],
)
def test_what_can_never_become_an_answer_is_refused_before_its_end(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        ResponseHead().parse(data, to_head_request=False)


@pytest.mark.parametrize(
    "status, left",
    [(b"204", b"A: b\r\n"), (b"103", b"A: b\r\n"), (b"304", b"Content-Length: 5\r\nA: b\r\n")],
)
def test_a_length_does_not_pass_where_rfc_9110_8_6_forbids_it(status: bytes, left: bytes) -> None:
    head = parse(b"HTTP/1.1 " + status + b" X\r\nContent-Length: 5\r\nA: b\r\n\r\n")
    assert (head.framing, head.fields) == (0, left)


def test_a_partial_head_waits() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    for end in range(len(data)):
        assert ResponseHead().parse(data[:end], to_head_request=False) == 0
