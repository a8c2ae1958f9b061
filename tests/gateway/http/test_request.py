"""Request heads: bytes to a head, or to the status they are refused with (RFC 9112, RFC 9110)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.errors import ProtocolError
from gateway.http.head_end import whole_head_bytes
from gateway.http.request import CHUNKED, RequestHead

BOUNDS = {"head_bytes_max": 2048, "target_bytes_max": 64, "fields_max": 8}


def parse(data: bytes) -> RequestHead:
    head = RequestHead()
    assert head.parse(data, **BOUNDS) == len(data), "the case is not a whole head"
    return head


def with_fields(*lines: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    return line + b"\r\n" + b"".join(field + b"\r\n" for field in lines) + b"\r\n"


REFUSED = [
    pytest.param(with_fields(b"Host: a", line=b"GET  / HTTP/1.1"), "bad_request", id="9112-3 two spaces"),
    pytest.param(with_fields(b"Host: a", line=b"GET / HTTP/2.0"), "bad_request", id="9112-2.3 version"),
    pytest.param(with_fields(b"Host: a", line=b"GET / http/1.1"), "bad_request", id="9112-2.3 version's case"),
    pytest.param(with_fields(b"Host: a", line=b"GET /\x7f HTTP/1.1"), "bad_request", id="9112-3.2 control in target"),
    pytest.param(with_fields(b"Host: a", line=b"G@T / HTTP/1.1"), "bad_request", id="9110-9.1 method is a token"),
    pytest.param(with_fields(b"Host: a", line=b"GET items HTTP/1.1"), "bad_request", id="9112-3.2 no form"),
    pytest.param(with_fields(b"Host: a", line=b"CONNECT a:80 HTTP/1.1"), "bad_request", id="9112-3.2.3 authority-form"),
    pytest.param(with_fields(b"Host: a", line=b"CONNECT /x HTTP/1.1"), "bad_request", id="9110-9.3.6 CONNECT a path"),
    pytest.param(with_fields(b"Host: a", line=b"GET /x#y HTTP/1.1"), "bad_request", id="9110-7.1 fragment"),
    pytest.param(
        with_fields(b"Host: a", line=b"GET /x?y#z HTTP/1.1"), "bad_request", id="9110-7.1 fragment of a query"
    ),
    pytest.param(
        with_fields(b"Host: a", line=b"GET /" + b"x" * 64 + b" HTTP/1.1"),
        "uri_too_long",
        id="9112-3 long target",
    ),
    pytest.param(with_fields(), "bad_request", id="9112-3.2 no Host"),
    pytest.param(with_fields(line=b"GET http://a/ HTTP/1.1"), "bad_request", id="9112-3.2 no Host in absolute-form"),
    pytest.param(with_fields(b"Host: a", b"Host: a"), "bad_request", id="9112-3.2 two Hosts"),
    pytest.param(with_fields(b"Host: a b"), "bad_request", id="9112-3.2 Host with a space"),
    pytest.param(with_fields(b"Host: a/b"), "bad_request", id="9112-3.2 Host with a slash"),
    pytest.param(with_fields(b"Host: user@a"), "bad_request", id="9110-4.2.4 userinfo in Host"),
    pytest.param(with_fields(b"Host: a:123456"), "bad_request", id="3986-3.2.3 port too long"),
    pytest.param(with_fields(b"Host : a"), "bad_request", id="9112-5.1 space before colon"),
    pytest.param(with_fields(b"Host: a", b" folded"), "bad_request", id="9112-5.2 obs-fold"),
    pytest.param(with_fields(b"Host: a", b"\tfolded"), "bad_request", id="9112-5.2 obs-fold by tab"),
    pytest.param(with_fields(b"Host: a", b"X"), "bad_request", id="9112-5 no colon"),
    pytest.param(with_fields(b"Host: a", b": x"), "bad_request", id="9110-5.1 empty name"),
    pytest.param(with_fields(b"Host: a", b"X(y): z"), "bad_request", id="9110-5.1 name is a token"),
    pytest.param(with_fields(b"Host: a", b"X: a\x01b"), "bad_request", id="9110-5.5 control in value"),
    pytest.param(with_fields(b"Host: a", *[b"A: b"] * 130), "head_too_large", id="too many fields"),
    pytest.param(with_fields(b"Host: a", b"Content-Length: +1"), "bad_request", id="9110-8.6 sign"),
    pytest.param(with_fields(b"Host: a", b"Content-Length: -1"), "bad_request", id="9110-8.6 negative"),
    pytest.param(with_fields(b"Host: a", b"Content-Length: 1, 1"), "bad_request", id="9110-8.6 list"),
    pytest.param(with_fields(b"Host: a", b"Content-Length: 1_0"), "bad_request", id="9110-8.6 underscore"),
    pytest.param(with_fields(b"Host: a", b"Content-Length: 0x10"), "bad_request", id="9110-8.6 hex"),
    pytest.param(with_fields(b"Host: a", b"Content-Length: "), "bad_request", id="9110-8.6 empty"),
    pytest.param(with_fields(b"Host: a", b"Content-Length: 1" + b"0" * 18), "bad_request", id="9110-8.6 overflow"),
    pytest.param(
        with_fields(b"Host: a", b"Content-Length: 1", b"Content-Length: 2"),
        "bad_request",
        id="9112-6.3 two lengths",
    ),
    pytest.param(
        with_fields(b"Host: a", b"Content-Length: 1", b"Transfer-Encoding: chunked"),
        "bad_request",
        id="9112-6.1 both",
    ),
    pytest.param(
        with_fields(b"Host: a", b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0"),
        "bad_request",
        id="9112-6.1 TE in 1.0",
    ),
    pytest.param(
        with_fields(b"Host: a", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        "bad_request",
        id="9112-6.1 chunked twice",
    ),
    pytest.param(with_fields(b"Host: a", b"Transfer-Encoding: chunked, gzip"), "bad_request", id="9112-6.3 not final"),
    pytest.param(
        with_fields(b"Host: a", b"Transfer-Encoding: gzip, chunked"), "not_implemented", id="9112-6.1 unknown"
    ),
    pytest.param(with_fields(b"Host: a", b"Transfer-Encoding: xchunked"), "bad_request", id="9112-6.1 look-alike"),
    pytest.param(with_fields(b"Host: a", b"Transfer-Encoding: "), "bad_request", id="9112-6.1 empty coding"),
]


@pytest.mark.parametrize("data, code", REFUSED)
def test_a_malformed_head_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(data)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\nHost: a\n\n", id="9112-2.2 bare LF"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\rX: b", id="9112-2.2 bare CR"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\x00", id="9110-5.5 NUL"),
    ],
)
def test_what_can_never_become_a_head_is_refused_before_its_end(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        whole_head_bytes(data, 2048)


def test_a_head_over_the_bound_is_refused_and_one_under_it_waits() -> None:
    assert whole_head_bytes(b"GET / HTTP/1.1\r\nA: " + b"x" * 100, 2048) == 0
    with pytest.raises(ProtocolError) as caught:
        whole_head_bytes(b"GET / HTTP/1.1\r\nA: " + b"x" * 2048, 2048)
    assert caught.value.code == "head_too_large"


def test_hop_by_hop_fields_and_those_connection_names_do_not_go_upstream() -> None:
    """RFC 9110 7.6.1."""
    head = parse(
        with_fields(
            b"Host: a",
            b"Connection: keep-alive, X-Hop",
            b"Keep-Alive: 1",
            b"TE: gzip",
            b"x-hop: 1",
            b"X-Stays: 1",
        )
    )
    assert head.fields == b"Host: a\r\nX-Stays: 1\r\n"


def test_connection_cannot_name_away_what_framing_stands_on() -> None:
    head = parse(with_fields(b"Host: a", b"Content-Length: 3", b"Connection: content-length, host"))
    assert head.fields == b"Host: a\r\nContent-Length: 3\r\n"
    assert head.content_length == 3


@pytest.mark.parametrize(
    "line, fields, expected",
    [
        pytest.param(b"GET / HTTP/1.1", [], True, id="9112-9.3 1.1 stays"),
        pytest.param(b"GET / HTTP/1.1", [b"Connection: Close"], False, id="9112-9.6 close"),
        pytest.param(b"GET / HTTP/1.0", [], False, id="9112-9.3 1.0 closes"),
        pytest.param(b"GET / HTTP/1.0", [b"Connection: keep-alive"], True, id="9112-9.3 1.0 asks to stay"),
    ],
)
def test_persistence(line: bytes, fields: list[bytes], expected: bool) -> None:
    assert parse(with_fields(b"Host: a", *fields, line=line)).keeps_alive is expected


def test_absolute_form_takes_the_host_from_the_target() -> None:
    """RFC 9112 3.2.2."""
    head = parse(with_fields(b"Host: other", line=b"GET http://a.example/x?y=1 HTTP/1.1"))
    assert (head.host, head.path, head.query) == (b"a.example", b"/x", b"?y=1")
    assert head.fields == b"Host: a.example\r\n"


def test_chunked_content_is_recognised_in_any_case() -> None:
    assert parse(with_fields(b"Host: a", b"Transfer-Encoding: Chunked")).content_length == CHUNKED


def test_nothing_of_one_request_is_left_in_the_next() -> None:
    head = RequestHead()
    full = with_fields(
        b"Host: a",
        b"Expect: 100-continue",
        b"X-Forwarded-For: 1.1.1.1",
        b"X-Request-Id: abc",
        b"Connection: upgrade",
        b"Upgrade: websocket",
        b"Content-Length: 9",
    )
    head.parse(full, **BOUNDS)
    assert (head.request_id, head.forwarded_for, head.upgrade, head.expects_continue) == (
        b"abc",
        b"1.1.1.1",
        b"websocket",
        True,
    )
    head.parse(with_fields(b"Host: b"), **BOUNDS)
    fresh = parse(with_fields(b"Host: b"))
    assert [(field.name, field.value) for field in head.lines] == [(b"host", b"b")]
    names = set(RequestHead.__slots__) - {"lines", "known"} | {"method", "path"}
    assert {name: getattr(head, name) for name in names} == {name: getattr(fresh, name) for name in names}


@pytest.mark.parametrize("value, taken", [(b"abc-1", b"abc-1"), (b"a b", b""), (b"x" * 129, b""), (b'a"b', b"")])
def test_only_a_sane_request_id_is_taken_over(value: bytes, taken: bytes) -> None:
    assert parse(with_fields(b"Host: a", b"X-Request-Id: " + value)).request_id == taken


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_a_refusal(noise: bytes) -> None:
    for data in (
        noise + b"\r\n\r\n",
        b"GET /" + noise + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        with_fields(b"Host: a", noise),
    ):
        head = RequestHead()
        try:
            length = head.parse(data, **BOUNDS)
        except ProtocolError as error:
            assert error.code in {"bad_request", "uri_too_long", "head_too_large", "not_implemented"}
        else:
            assert 0 <= length <= len(data)
            assert b"\x00" not in head.fields
            assert head.fields.count(b"\n") == head.fields.count(b"\r\n")


@pytest.mark.parametrize(
    "value, takes", [(b"trailers", True), (b"gzip, Trailers", True), (b"xtrailers", False), (b"trailers;q=1", False)]
)
def test_te_is_read_and_written_anew(value: bytes, takes: bool) -> None:
    """RFC 9110 10.1.4: it concerns one hop, and so does Connection, which must name it."""
    head = parse(with_fields(b"Host: a", b"Connection: TE", b"TE: " + value))
    assert head.takes_trailers is takes
    assert head.fields == b"Host: a\r\n" + (b"TE: trailers\r\nConnection: TE\r\n" if takes else b"")
