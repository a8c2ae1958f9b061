"""Messages as the gateway, llhttp (httptools) and h11 read them, in one shape, so that readings can be compared.

Each oracle is given exactly the bytes that the gateway took for one message. It must accept them, and find one whole
message that ends at the last byte. What the gateway refuses is not asked: it may be stricter, and is (see STRICTER).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import h11
import httptools

from gateway.http.chunked import ChunkedDecoder
from gateway.http.request import CHUNKED, RequestHead
from gateway.http.response import UNTIL_CLOSE, ResponseHead

HEAD_BYTES_MAX, TARGET_BYTES_MAX, FIELDS_MAX = 32 * 1024, 8 * 1024, 128
Fields = list[tuple[bytes, bytes]]  # names in lower case, values without whitespace around

# Where the gateway refuses what an oracle takes, and why. `tests/gateway/http/test_differential.py` shows each.
STRICTER: dict[str, tuple[bytes, str]] = {
    "bare LF ends a line": (
        b"GET / HTTP/1.1\nHost: a\n\n",
        "RFC 9112 2.2 lets a recipient; proxies that differ smuggle",
    ),
    "obs-fold": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", "RFC 9112 5.2: 400, or replace by spaces"),
    "equal lengths repeated": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "RFC 9112 6.3: 400, or take the one value",
    ),
    "a list of equal lengths": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx",
        "RFC 9112 6.3: 400, or take the one value",
    ),
    "length of 19 digits": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0000000000000000001\r\n\r\nx",
        "18 digits stay below 2**63, where no reader overflows",
    ),
    "fragment in the target": (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "RFC 9110 7.1: never sent"),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "RFC 9112 3.2: 400"),
    "userinfo in Host": (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "RFC 9112 3.2: 400; routed by some on what follows @"),
    "authority-form": (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "RFC 9110 9.3.6: a gateway gives no tunnel"),
    "chunked in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "RFC 9112 6.1: faulty framing",
    ),
    "a coding before chunked": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "RFC 9112 6.1: 501 for a coding that is not understood",
    ),
    "a chunk size of 16 digits": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000001\r\nx\r\n0\r\n\r\n",
        "15 digits stay below 2**60",
    ),
    "a control in a value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n", "RFC 9110 5.5"),
    "a method of 33 bytes": (b"M" * 33 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", "no registered one is longer than 17"),
}

# llhttp knows methods by name only; for others it is asked about the same message with POST in their place.
LLHTTP_METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH"))


@dataclass
class Reading:
    """One whole message. ``taken`` is its length in bytes, ``content`` without any framing."""

    start: tuple[bytes, ...]  # method and target, or status
    fields: Fields = field(default_factory=list)
    content: bytes = b""
    taken: int = 0
    keeps_alive: bool = True
    has_switched: bool = False  # llhttp: what follows the head is another protocol's, so it says nothing of content


def _field(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    name = name.lower()
    # h11 lowers the one value it keeps of this field.
    return name, value.strip(b" \t").lower() if name == b"transfer-encoding" else value.strip(b" \t")


def fields_of(section: bytes) -> Fields:
    lines = [line.partition(b":") for line in section.split(b"\r\n")[:-1]]
    return [_field(name, value) for name, _, value in lines]


def content_of(framing: int, data: bytes) -> tuple[bytes, int] | None:
    """Content and the bytes it took of ``data``; None while it is not whole. Raises ProtocolError."""
    if framing == CHUNKED:
        decoder = ChunkedDecoder()
        content = decoder.decode(data)
        while decoder.has_more:
            content += decoder.decode(b"")
        return (content, len(data) - len(decoder.rest)) if decoder.is_done else None
    if framing == UNTIL_CLOSE:
        return data, len(data)
    return (data[:framing], framing) if len(data) >= framing else None


def gateway_request(data: bytes) -> tuple[RequestHead, Reading] | None:
    """None while the message is not whole. Raises ProtocolError."""
    head = RequestHead()
    head_bytes = head.parse(data, HEAD_BYTES_MAX, TARGET_BYTES_MAX, FIELDS_MAX)
    if head_bytes == 0:
        return None
    line, _, section = data[: head_bytes - 2].partition(b"\r\n")
    reading = Reading((head.method, line.split(b" ")[1]), fields_of(section), keeps_alive=head.keeps_alive)
    content = content_of(head.content_length, data[head_bytes:])
    if content is None:
        return None
    reading.content, reading.taken = content[0], head_bytes + content[1]
    return head, reading


def gateway_response(data: bytes) -> tuple[ResponseHead, Reading] | None:
    """To a GET. None while the message is not whole. Raises ProtocolError."""
    head = ResponseHead()
    head_bytes = head.parse(data, to_head_request=False)
    if head_bytes == 0:
        return None
    section = data[:head_bytes].partition(b"\r\n")[2][:-2]
    reading = Reading((b"%d" % head.status,), fields_of(section), keeps_alive=head.keeps_alive)
    content = content_of(head.framing, data[head_bytes:])
    if content is None:
        return None
    reading.content, reading.taken = content[0], head_bytes + content[1]
    return head, reading


class _Llhttp:
    """What httptools calls back, gathered."""

    def __init__(self) -> None:
        self.target = b""
        self.fields: Fields = []
        self.content = b""
        self.begun = 0
        self.complete = 0
        self.is_head_read = False

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_headers_complete(self) -> None:
        self.is_head_read = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_head_read:  # Trailers come here too.
            self.fields.append(_field(name, value))

    def on_body(self, body: bytes) -> None:
        self.content += body

    def on_message_complete(self) -> None:
        self.complete += 1


def llhttp_request(message: bytes) -> Reading:
    """Raises httptools.HttpParserError, or AssertionError where it finds no one whole message."""
    method, space, after = message.partition(b" ")
    if method not in LLHTTP_METHODS:
        message = b"POST" + space + after
    seen = _Llhttp()
    parser = httptools.HttpRequestParser(seen)
    try:
        parser.feed_data(message[:-1])
        assert seen.complete == 0, "llhttp finds the end sooner"
        keeps_alive = parser.should_keep_alive()
        parser.feed_data(message[-1:])
        has_switched = False
    except httptools.HttpParserUpgrade:
        keeps_alive = has_switched = True
    assert (seen.begun, seen.complete) == (1, 1), "llhttp finds the end later"
    return Reading((method, seen.target), seen.fields, seen.content, len(message), keeps_alive, has_switched)


def llhttp_response(message: bytes, *, until_close: bool) -> Reading:
    seen = _Llhttp()
    parser = httptools.HttpResponseParser(seen)
    parser.feed_data(message[:-1])
    assert seen.complete == 0, "llhttp finds the end sooner"
    parser.feed_data(message[-1:])
    assert (seen.begun, seen.complete) == (1, 0 if until_close else 1), "llhttp finds the end elsewhere"
    return Reading((b"%d" % parser.get_status_code(),), seen.fields, seen.content, len(message))


def _h11_message(connection: h11.Connection, message: bytes) -> tuple[h11.Request | h11.Response, bytes]:
    connection.receive_data(message)
    head = connection.next_event()
    if isinstance(head, h11.InformationalResponse):
        return head, b""
    assert isinstance(head, h11.Request | h11.Response), f"h11 finds {head!r}"
    content = b""
    while isinstance(event := connection.next_event(), h11.Data):
        content += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage), f"h11 finds {event!r}"
    assert connection.trailing_data[0] == b"", "h11 finds the end sooner"
    return head, content


def h11_request(message: bytes) -> Reading:
    """Raises h11.ProtocolError, or AssertionError where it finds no one whole message."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    head, content = _h11_message(connection, message)
    assert isinstance(head, h11.Request)
    fields = [_field(bytes(name), bytes(value)) for name, value in head.headers]
    return Reading((bytes(head.method), bytes(head.target)), fields, content, len(message))


def h11_response(message: bytes, *, until_close: bool) -> Reading:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    if until_close:
        connection.receive_data(message)
        head = connection.next_event()
        content = b""
        if isinstance(event := connection.next_event(), h11.Data):
            content += bytes(event.data)
            event = connection.next_event()
        assert event is h11.NEED_DATA
        connection.receive_data(b"")
        assert isinstance(connection.next_event(), h11.EndOfMessage)
    else:
        head, content = _h11_message(connection, message)
    assert isinstance(head, h11.Response | h11.InformationalResponse)
    fields = [_field(bytes(name), bytes(value)) for name, value in head.headers]
    return Reading((b"%d" % head.status_code,), fields, content, len(message))
