"""RFC 9112 3: the request line, the forms of a target, and the Host that goes with it."""

import pytest

from tests.gateway.rfc.conversation import Conversation, head


def line(text: bytes) -> bytes:
    return head(line=text)


REFUSED = [
    pytest.param(line(b"GET  /a/x HTTP/1.1"), id="3 two spaces before the target"),
    pytest.param(line(b"GET /a/x  HTTP/1.1"), id="3 two spaces after the target"),
    pytest.param(line(b"GET\t/a/x HTTP/1.1"), id="3 tab before the target"),
    pytest.param(line(b"GET /a/x\tHTTP/1.1"), id="3 tab after the target"),
    pytest.param(line(b"GET\x0b/a/x HTTP/1.1"), id="3 vertical tab before the target"),
    pytest.param(line(b"GET /a/x\x0cHTTP/1.1"), id="3 form feed after the target"),
    pytest.param(line(b"GET /a/x HTTP/1.1 "), id="3 space at the end"),
    pytest.param(line(b"/a/x HTTP/1.1"), id="3.1 no method"),
    pytest.param(line(b" /a/x HTTP/1.1"), id="3.1 empty method"),
    pytest.param(line(b"GET HTTP/1.1"), id="3.2 no target"),
    pytest.param(line(b"GET  HTTP/1.1"), id="3.2 empty target"),
    pytest.param(line(b"GET /a/x y HTTP/1.1"), id="3.2 space in the target"),
    pytest.param(line(b"GET /a/x /a/y HTTP/1.1"), id="3.2 two targets"),
    pytest.param(line(b"GET /a/\x7f HTTP/1.1"), id="3.2 DEL in the target"),
    pytest.param(line(b"GET /a/\x1f HTTP/1.1"), id="3.2 control in the target"),
    pytest.param(line(b"GET /a/\xc3\xa4 HTTP/1.1"), id="3.2 non-ASCII in the target"),
    pytest.param(line(b"GET /a/x#y HTTP/1.1"), id="9110-7.1 a fragment"),
    pytest.param(line(b"GET /a/x?y#z HTTP/1.1"), id="9110-7.1 a fragment after a query"),
    pytest.param(line(b"GET a/x HTTP/1.1"), id="3.2 a path without its slash"),
    pytest.param(line(b"GET ?x HTTP/1.1"), id="3.2 a query alone"),
    pytest.param(line(b"GET x:80 HTTP/1.1"), id="3.2.3 authority-form for GET"),
    pytest.param(line(b"CONNECT x:80 HTTP/1.1"), id="9110-9.3.6 CONNECT"),
    pytest.param(line(b"CONNECT /a/x HTTP/1.1"), id="9110-9.3.6 CONNECT in origin-form"),
    pytest.param(line(b"CONNECT http://x/a/x HTTP/1.1"), id="9110-9.3.6 CONNECT in absolute-form"),
    pytest.param(line(b"GET * HTTP/1.1"), id="3.2.4 asterisk-form for GET"),
    pytest.param(line(b"OPTIONS ** HTTP/1.1"), id="3.2.4 two asterisks"),
    pytest.param(line(b"OPTIONS *?x HTTP/1.1"), id="3.2.4 asterisk with a query"),
    pytest.param(line(b"GET http:/a/x HTTP/1.1"), id="3.2.2 one slash"),
    pytest.param(line(b"GET http:///a/x HTTP/1.1"), id="3.2.2 empty authority"),
    pytest.param(line(b"GET ftp://x/a/x HTTP/1.1"), id="3.2.2 another scheme"),
    pytest.param(line(b"GET file:///etc/passwd HTTP/1.1"), id="3.2.2 a file"),
    pytest.param(line(b"GET http://u:p@x/a/x HTTP/1.1"), id="9110-4.2.4 userinfo"),
    pytest.param(line(b"GET http://x:port/a/x HTTP/1.1"), id="3.2.2 a port of letters"),
    pytest.param(line(b"GET http://[::1/a/x HTTP/1.1"), id="3.2.2 an open bracket"),
    pytest.param(line(b"GET http://x\\y/a/x HTTP/1.1"), id="3.2.2 backslash in the authority"),
    pytest.param(head(line=b"GET http://x/a/x HTTP/1.1", host=None), id="3.2 absolute-form without Host"),
    *(
        pytest.param(line(b"G" + bytes((c,)) + b"T /a/x HTTP/1.1"), id=f"3.1 method with {chr(c)}")
        for c in b'"(),/:;<=>?@[\\]{}'
    ),
    pytest.param(line(b"G\xc3\x8bT /a/x HTTP/1.1"), id="3.1 method not in ASCII"),
    pytest.param(line(b"M" * 33 + b" /a/x HTTP/1.1"), id="3.1 method of 33 bytes"),
]

HOSTS_REFUSED = [
    pytest.param(None, id="3.2 no Host"),
    pytest.param(b"Host: x\r\nHost: x", id="3.2 two equal Hosts"),
    pytest.param(b"Host: x\r\nHost: y", id="3.2 two Hosts"),
    pytest.param(b"Host: x\r\nhOST: y", id="3.2 two Hosts in other letters"),
    pytest.param(b"Host: x, y", id="3.2 a list"),
    pytest.param(b"Host: x y", id="3.2 space inside"),
    pytest.param(b"Host: x\ty", id="3.2 tab inside"),
    pytest.param(b"Host: x/a", id="3.2 a path"),
    pytest.param(b"Host: x?a", id="3.2 a query"),
    pytest.param(b"Host: x#a", id="3.2 a fragment"),
    pytest.param(b"Host: http://x", id="3.2 a URL"),
    pytest.param(b"Host: u@x", id="3.2 userinfo"),
    pytest.param(b"Host: x:80@y", id="3.2 userinfo that looks like a port"),
    pytest.param(b"Host: x\\y", id="3.2 backslash"),
    pytest.param(b"Host: x:a", id="3.2 a port of letters"),
    pytest.param(b"Host: x:-1", id="3.2 a negative port"),
    pytest.param(b"Host: x:123456", id="3.2 a port of six digits"),
    pytest.param(b"Host: x:80:80", id="3.2 two ports"),
    pytest.param(b"Host: [::1", id="3.2 an open bracket"),
    pytest.param(b"Host: ::1", id="3.2 IPv6 without brackets"),
    pytest.param(b"Host: [::1]x", id="3.2 letters after the bracket"),
    pytest.param(b"Host: [x]", id="3.2 a name in brackets"),
    pytest.param(b'Host: "x"', id="3.2 quotes"),
    pytest.param(b"Host: <x>", id="3.2 angle brackets"),
    pytest.param("Host: ä".encode(), id="3.2 not in ASCII"),
    pytest.param(b"Host : x", id="5.1 space before the colon"),
]

# target, what the upstream is asked for, and the host that routing and the upstream go by
PASSED = [
    pytest.param(b"/a", b"/", b"x", id="3.2.1 the service's path alone"),
    pytest.param(b"/a/x?y=z", b"/x?y=z", b"x", id="3.2.1 origin-form with a query"),
    pytest.param(b"/a/x?", b"/x?", b"x", id="3.2.1 an empty query"),
    pytest.param(b"/a/x??/../", b"/x??/../", b"x", id="3.2.1 a query is not a path"),
    pytest.param(b"http://y/a/x?z", b"/x?z", b"y", id="3.2.2 absolute-form, Host ignored"),
    pytest.param(b"HTTP://y:8080/a/x", b"/x", b"y:8080", id="3.2.2 scheme in any case, port kept"),
    pytest.param(b"https://y/a/x", b"/x", b"y", id="3.2.2 https"),
    pytest.param(b"http://root.test", b"/", b"root.test", id="3.2.2 no path"),
    pytest.param(b"http://root.test?x", b"/?x", b"root.test", id="3.2.2 no path but a query"),
    pytest.param(b"http://[::1]:80/a/x", b"/x", b"[::1]:80", id="3.2.2 IPv6"),
]


@pytest.mark.parametrize("data", REFUSED)
def test_a_malformed_request_line_is_refused(talk: Conversation, data: bytes) -> None:
    talk.refuses(data)


@pytest.mark.parametrize("field", HOSTS_REFUSED)
def test_a_host_that_is_none_is_refused(talk: Conversation, field: bytes | None) -> None:
    talk.refuses(head(host=field))


@pytest.mark.parametrize("target, asked, host", PASSED)
def test_a_target_in_any_form_goes_on_in_origin_form(
    talk: Conversation, target: bytes, asked: bytes, host: bytes
) -> None:
    seen = talk.passes(head(line=b"GET " + target + b" HTTP/1.1"))
    assert (seen.start, seen.fields["host"]) == (b"GET " + asked, host.decode())


@pytest.mark.parametrize("value", [b"x", b"X.Example", b"x:80", b"x:", b"127.0.0.1", b"[::1]:8080", b"a_b.x", b"%41"])
def test_a_sound_host_goes_on_as_it_is(talk: Conversation, value: bytes) -> None:
    """RFC 9112 3.2."""
    assert talk.passes(head(host=b"Host:" + value)).fields["host"] == value.decode()


def test_an_empty_host_is_legal_and_the_upstream_gets_its_own(talk: Conversation) -> None:
    """RFC 9112 3.2: empty when the target's authority is; the upstream must get some."""
    assert talk.passes(head(host=b"Host:")).fields["host"] == f"127.0.0.1:{talk.upstream.port}"


def test_asterisk_form_reaches_the_service_that_has_the_root(talk: Conversation) -> None:
    """RFC 9112 3.2.4: it stays an asterisk, whatever path the upstream's own URL has."""
    for host in (b"Host: root.test", b"Host: based.test"):
        talk.upstream.reset()
        assert talk.passes(head(line=b"OPTIONS * HTTP/1.1", host=host)).start == b"OPTIONS *"


def test_options_for_the_whole_server_in_absolute_form_is_an_asterisk(talk: Conversation) -> None:
    """RFC 9112 3.2.4: an empty path and no query, to the last proxy, mean `*`."""
    assert talk.passes(head(line=b"OPTIONS http://root.test HTTP/1.1")).start == b"OPTIONS *"


def test_asterisk_form_is_not_found_where_nothing_has_the_root(talk: Conversation) -> None:
    with talk.client() as client:
        assert client.send(head(line=b"OPTIONS * HTTP/1.1")).answer()[0] == 404
        assert client.send(head()).answer()[0] == 200, "the connection goes on"


@pytest.mark.parametrize("extra, status", [(0, 200), (1, 414)])
def test_a_target_is_at_most_8_kib(talk: Conversation, extra: int, status: int) -> None:
    data = head(line=b"GET /a/" + b"x" * (8 * 1024 - 3 + extra) + b" HTTP/1.1")
    if status == 200:
        talk.passes(data)
    else:
        talk.refuses(data, 414)


@pytest.mark.parametrize("method", [b"get", b"Get", b"PURGE", b"M-SEARCH", b"!#$%&'*+-.^_`|~", b"M" * 32])
def test_any_token_is_a_method_and_its_case_counts(talk: Conversation, method: bytes) -> None:
    """RFC 9110 9.1."""
    assert talk.passes(head(line=method + b" /a/x HTTP/1.1")).start == method + b" /x"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"GET /a/" + b"x" * 33_000, id="path"),
        pytest.param(b"GET /a/x?" + b"x" * 33_000, id="query"),
        pytest.param(b"GET http://x/a/" + b"x" * 70_000, id="absolute form"),
        pytest.param(b"GET /a/" + b"x" * 32_752, id="but for its end"),
    ],
)
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_line_that_is_longer_than_a_head_may_be_is_414(talk: Conversation, line: bytes, is_whole: bool) -> None:
    """RFC 9112 3: 414, not the 431 of fields, wherever the line is what is too long; at once, without its end too."""
    talk.refuses(line + (b" HTTP/1.1\r\nHost: x\r\n\r\n" if is_whole else b" " * 32), 414)


def test_a_line_that_ends_and_fields_that_do_not_are_431(talk: Conversation) -> None:
    talk.refuses(b"GET /a/x HTTP/1.1\r\nA: " + b"x" * 33_000, 431)
