"""RFC 9110 6, 7.2 to 7.6: routing by Host, and what becomes of fields on their way."""

import pytest

from tests.gateway.rfc.conversation import Conversation, head

HOP = [b"Keep-Alive: 1", b"Proxy-Connection: x", b"TE: gzip", b"Trailer: X", b"Upgrade: x", b"HTTP2-Settings: x"]
OURS = [b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"Via", b"X-Request-Id"]


def test_the_fields_of_a_plain_request(talk: Conversation) -> None:
    seen = talk.passes(head(b"Accept: */*", b"X-Request-Id: mine"))
    assert seen.raw == (
        b"GET /x HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"
        b"Via: 1.1 tollgate\r\nX-Forwarded-Host: x\r\nX-Request-Id: mine\r\n\r\n"
    )


@pytest.mark.parametrize("line", HOP, ids=lambda line: line.decode().partition(":")[0])
def test_a_hop_by_hop_field_does_not_go_on(talk: Conversation, line: bytes) -> None:
    """7.6.1: whether Connection names it or not."""
    name = line.partition(b":")[0].decode().lower()
    assert name not in talk.passes(head(line)).fields


@pytest.mark.parametrize(
    "connection",
    [
        pytest.param([b"Connection: X-Hop"], id="one"),
        pytest.param([b"Connection: x-hop"], id="in other letters"),
        pytest.param([b"Connection: a, X-Hop,b"], id="in a list"),
        pytest.param([b"Connection: ,, X-Hop ,"], id="in a list with empty elements"),
        pytest.param([b"Connection: a", b"Connection: X-Hop"], id="in a second field"),
        pytest.param([b"Connection: keep-alive, X-Hop"], id="after an option"),
    ],
)
def test_what_connection_names_does_not_go_on(talk: Conversation, connection: list[bytes]) -> None:
    """7.6.1: and neither does Connection."""
    seen = talk.passes(head(b"X-Hop: 1", *connection, b"X-Hop: 2", b"X-Hop-Not: 3"))
    assert "x-hop" not in seen.fields
    assert "connection" not in seen.fields
    assert seen.fields["x-hop-not"] == "3"


@pytest.mark.parametrize("name", [*OURS, b"Host"])
def test_connection_cannot_name_away_what_the_gateway_says(talk: Conversation, name: bytes) -> None:
    """Else a client could hide from the upstream where a request comes from."""
    fields = talk.passes(head(b"Connection: close, " + name)).fields
    assert fields[name.decode().lower()]


def test_connection_may_name_names_that_are_no_patterns(talk: Conversation) -> None:
    seen = talk.passes(head(b"Connection: .*, x+, [, ^$", b"X: 1"))
    assert seen.fields["x"] == "1"


@pytest.mark.parametrize(
    "lines, name, value",
    [
        ([b"X-Forwarded-For: 9.9.9.9"], "x-forwarded-for", "9.9.9.9, 127.0.0.1"),
        ([b"X-Forwarded-For: 9.9.9.9", b"x-forwarded-for: 8.8.8.8"], "x-forwarded-for", "9.9.9.9, 8.8.8.8, 127.0.0.1"),
        ([b"X-Forwarded-Proto: https"], "x-forwarded-proto", "http"),
        ([b"X-Forwarded-Host: evil"], "x-forwarded-host", "x"),
        ([b"Via: 1.0 a"], "via", "1.0 a, 1.1 tollgate"),
        ([b"Via: 1.0 a", b"Via: 1.1 b"], "via", "1.0 a, 1.1 b, 1.1 tollgate"),
        ([b"Traceparent: 00-a-b-01"], "traceparent", "00-a-b-01"),
    ],
)
def test_forwarding_fields(talk: Conversation, lines: list[bytes], name: str, value: str) -> None:
    """7.6.3, DESIGN 1.5: appended to, and believed of trusted proxies only."""
    assert talk.passes(head(*lines)).fields[name] == value


@pytest.mark.parametrize("value", [b"", b"a b", b"x" * 129, b'a"b', b"a,b"])
def test_a_request_id_that_is_none_is_replaced(talk: Conversation, value: bytes) -> None:
    fields = talk.passes(head(b"X-Request-Id: " + value)).fields
    assert fields["x-request-id"] != value.decode()
    assert len(fields["x-request-id"]) >= 16


def test_an_answer_carries_the_request_id_once(talk: Conversation) -> None:
    talk.upstream.will(b"HTTP/1.1 200 OK\r\nX-Request-Id: a\r\nx-request-id: b\r\nContent-Length: 0\r\n\r\n")
    with talk.client() as client:
        client.send(head(b"X-Request-Id: mine", b"Connection: close"))
        assert client.rest().lower().count(b"x-request-id: ") == 1


@pytest.mark.parametrize(
    "host, start",
    [
        (b"root.test", b"GET /a/x"),
        (b"ROOT.test:8080", b"GET /a/x"),
        (b"root.test.", b"GET /a/x"),
        (b"based.test", b"GET /base/a/x"),
        (b"other.test", b"GET /x"),
        (b"xroot.test", b"GET /x"),
        (b"root.test.evil", b"GET /x"),
    ],
)
def test_host_decides_without_port_and_case(talk: Conversation, host: bytes, start: bytes) -> None:
    """7.2, DESIGN 1.2."""
    seen = talk.passes(head(host=b"Host: " + host))
    assert (seen.start, seen.fields["host"]) == (start, host.decode())


def test_the_targets_host_decides_over_the_field(talk: Conversation) -> None:
    """RFC 9112 3.2.2: a rule of one host cannot be met under the name of another."""
    seen = talk.passes(head(line=b"GET http://root.test/a/x HTTP/1.1", host=b"Host: based.test"))
    assert (seen.start, seen.fields["host"], seen.fields["x-forwarded-host"]) == (b"GET /a/x", "root.test", "root.test")


def test_the_upstream_may_be_given_its_own_host(talk: Conversation) -> None:
    """DESIGN 1.7: `preserve_host: false`."""
    seen = talk.passes(head(line=b"GET /own-host/x HTTP/1.1"))
    assert seen.fields["host"] == f"127.0.0.1:{talk.upstream.port}"
    assert seen.fields["x-forwarded-host"] == "x"


def test_each_of_several_targets_is_given_its_own_host(talk: Conversation) -> None:
    hosts = []
    for _ in range(2):
        talk.upstream.reset()
        hosts.append(talk.passes(head(line=b"GET /own-hosts/x HTTP/1.1")).fields["host"])
    assert sorted(hosts) == [f"127.0.0.1:{talk.upstream.port}", f"localhost:{talk.upstream.port}"]


def test_order_and_spelling_of_fields_are_kept(talk: Conversation) -> None:
    """5.3: the order of fields of one name is theirs."""
    seen = talk.passes(head(b"b: 1", b"A: 2", b"B: 3", b"Cookie: x=1; y=2"))
    assert b"Host: x\r\nb: 1\r\nA: 2\r\nB: 3\r\nCookie: x=1; y=2\r\n" in seen.raw


def test_the_target_of_a_base_path(talk: Conversation) -> None:
    """DESIGN 1.2: a path in the target's URL is put before the request's, and cannot be climbed out of."""
    assert talk.passes(head(line=b"GET /a/../b HTTP/1.1", host=b"Host: based.test")).start == b"GET /base/b"
    talk.upstream.reset()
    talk.refuses(head(line=b"GET /../b HTTP/1.1", host=b"Host: based.test"))
