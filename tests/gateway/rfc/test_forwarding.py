"""RFC 9110 6, 7.2 to 7.6: routing by Host, and what becomes of fields on their way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.http.via import HOPS_MAX
from tests.gateway.data_plane import Raw, instance, service, worker
from tests.gateway.rfc.conversation import Conversation, head
from tests.gateway.rfc.raw_upstream import RawUpstream

HOP = [b"Keep-Alive: 1", b"Proxy-Connection: x", b"TE: gzip", b"Trailer: X", b"Upgrade: x", b"HTTP2-Settings: x"]
WHERE_FROM = [
    b"Forwarded",
    b"Forwarded-For",
    b"X-Forwarded",
    b"X-Forwarded-Port",
    b"X-Forwarded-Server",
    b"X-Forwarded-Scheme",
    b"X-Forwarded-Ssl",
    b"X-Forwarded-By",
    b"X-Forwarded-User",
    b"X-Forwarded-Email",
    b"X-Forwarded-Client-Cert",
    b"X-Forwarded-Anything",
    b"X-Real-IP",
    b"True-Client-IP",
    b"CF-Connecting-IP",
    b"X-Client-IP",
    b"Client-IP",
    b"X-Cluster-Client-IP",
    b"Fastly-Client-IP",
    b"X-Original-Forwarded-For",
    b"X-Envoy-External-Address",
    b"WL-Proxy-Client-IP",
    b"Client-Cert",
    b"Client-Cert-Chain",
    b"SSL-Client-Verify",
    b"X-SSL-Client-Cert",
    b"X-ARR-ClientCert",
    b"X-Amzn-Mtls-Clientcert-Subject",
    b"X-Original-URL",
    b"X-Rewrite-URL",
    b"X-Original-Host",
    b"X-Host",
    b"Front-End-Https",
    b"x-FORWARDED-port",
]
# Taken for fields that the gateway reads, writes or drops by whoever has `HTTP_X_REQUEST_ID` of them.
LOOKALIKES = [
    b"X_Forwarded_For",
    b"X-Forwarded_For",
    b"X_forwarded-for",
    b"x.forwarded.for",
    b"X!Forwarded~Proto",
    b"X_Forwarded_Prefix",
    b"X_Forwarded_Host",
    b"X_Forwarded_User",
    b"X_Real_IP",
    b"Client_Cert",
    b"X_Original_URL",
    b"X_Request_Id",
    b"Content_Length",
    b"Transfer_Encoding",
    b"Keep_Alive",
    b"Proxy_Authorization",
    b"Proxy_Connection",
    b"HTTP2_Settings",
    b"Max_Forwards",
    b"Access_Control_Request_Method",
]
OURS = [b"X-Forwarded-Prefix", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"Via", b"X-Request-Id"]


def test_the_fields_of_a_plain_request(talk: Conversation) -> None:
    seen = talk.passes(head(b"Accept: */*", b"X-Request-Id: mine"))
    assert seen.raw == (
        b"GET /x HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n"
        b"X-Forwarded-Prefix: /a\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"
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


@pytest.mark.parametrize("name", [*WHERE_FROM, b"Proxy"], ids=bytes.decode)
def test_where_a_request_comes_from_is_not_the_clients_to_say(talk: Conversation, name: bytes) -> None:
    """Upstreams believe such a field, for who forwards is to have written it. `Proxy` is CGI's HTTP_PROXY."""
    for spelling in (name, name.lower(), name.upper()):
        talk.upstream.reset()
        seen = talk.passes(head(b"A: 1", spelling + b": 203.0.113.9", spelling + b": 2", b"B: 2"))
        assert name.lower().decode() not in seen.fields
        assert b"A: 1\r\nB: 2\r\n" in seen.raw


@pytest.mark.parametrize("name", LOOKALIKES, ids=bytes.decode)
def test_no_other_spelling_stands_for_a_field_of_ours(talk: Conversation, name: bytes) -> None:
    seen = talk.passes(head(b"A: 1", name + b": 9", b"B: 2"))
    assert name.lower().decode() not in seen.fields
    assert b"A: 1\r\nB: 2\r\n" in seen.raw


@pytest.mark.parametrize(
    "name", [b"X_Trace", b"user_id", b"X.Y", b"X-HTTP-Method-Override", b"X_HTTP_Method", b"X-Request-Ids", b"Realip"]
)
def test_fields_that_are_nobodys_are_left_alone(talk: Conversation, name: bytes) -> None:
    seen = talk.passes(head(b"A: 1", name + b": 9", b"B: 2"))
    assert b"A: 1\r\n" + name + b": 9\r\nB: 2\r\n" in seen.raw


def test_trailers_say_nothing_of_where_a_request_comes_from(talk: Conversation) -> None:
    content = b"3\r\nabc\r\n0\r\nX-Real-IP: 203.0.113.9\r\nX_Forwarded_For: 203.0.113.9\r\nX-Any: 1\r\n\r\n"
    line = b"POST /a/x HTTP/1.1"
    seen = talk.passes(head(b"Transfer-Encoding: chunked", b"TE: trailers", line=line) + content)
    assert b"203.0.113.9" not in seen.raw
    assert seen.raw.endswith(b"\r\n0\r\n\r\n")


@pytest.fixture(scope="module")
def trusting(raw_upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conversation]:
    """A worker to which everybody here is a trusted proxy, with keyed services."""
    folder: Path = tmp_path_factory.mktemp("trusting")
    keys = [{"id": "k", "sha256": hashlib.sha256(b"secret").hexdigest()}]
    services = [
        service(id, raw_upstream.port, auth={"header": name, "strip": strips, "keys": keys})
        for id, name, strips in (("strips", "X-Api-Key", True), ("keeps", "X-Api-Key", False), ("odd", "X_Key", False))
    ]
    with worker(folder, service("a", raw_upstream.port), *services, trusted_proxies=["127.0.0.0/8"]) as running:
        yield Conversation(running, raw_upstream)


@pytest.mark.parametrize("name", WHERE_FROM, ids=bytes.decode)
def test_a_trusted_proxys_word_goes_on(trusting: Conversation, name: bytes) -> None:
    trusting.upstream.reset()
    seen = trusting.passes(head(b"A: 1", name + b": 203.0.113.9", b"Connection: keep-alive", b"B: 2"))
    assert b"A: 1\r\n" + name + b": 203.0.113.9\r\nB: 2\r\n" in seen.raw


@pytest.mark.parametrize("name", LOOKALIKES, ids=bytes.decode)
def test_not_in_another_spelling_for_it_may_be_its_clients(trusting: Conversation, name: bytes) -> None:
    trusting.upstream.reset()
    assert name.lower().decode() not in trusting.passes(head(name + b": 9")).fields


@pytest.mark.parametrize("path", ["strips", "keeps"])
@pytest.mark.parametrize("name", ["X_Api_Key", "x-api_key", "X.Api.Key", "X_API-KEY"])
def test_no_other_spelling_stands_for_a_key(trusting: Conversation, path: str, name: str) -> None:
    """It would be another key than the one that was let in."""
    trusting.upstream.reset()
    line = f"GET /{path}/x HTTP/1.1".encode()
    fields = trusting.passes(head(name.encode() + b": forged", b"X-Api-Key: secret", b"X_Any: 1", line=line)).fields
    assert name.lower() not in fields
    assert fields["x_any"] == "1"
    assert ("x-api-key" in fields) is (path == "keeps")
    with trusting.client() as client:
        assert client.send(head(name.encode() + b": secret", line=line)).answer()[0] == 401


def test_a_key_whose_name_is_odd_is_the_one_of_that_name(trusting: Conversation) -> None:
    trusting.upstream.reset()
    fields = trusting.passes(head(b"X-Key: forged", b"X_Key: secret", line=b"GET /odd/x HTTP/1.1")).fields
    assert (fields.get("x_key"), fields.get("x-key")) == ("secret", None)


def test_other_spellings_may_be_kept(raw_upstream: RawUpstream, tmp_path: Path) -> None:
    raw_upstream.reset()
    with worker(tmp_path, service("a", raw_upstream.port), underscore_fields="keep") as running:
        with Raw(running.port) as client:
            client.send(head(b"X_Real_IP: 1", b"X-Real-IP: 2", b"Content_Length: 3", b"Connection: x"))
            assert client.answer()[0] == 200
        fields = raw_upstream.requests[0].fields
        assert (fields.get("x_real_ip"), fields.get("content_length")) == ("1", "3")
        assert "x-real-ip" not in fields


def test_a_chain_of_gateways_is_none_too_long_and_a_circle_ends(tmp_path: Path, raw_upstream: RawUpstream) -> None:
    """RFC 9110 7.6.3: a worker that is its own upstream. One request is no more calls than a way may have gateways."""
    raw_upstream.reset()
    with worker(tmp_path, service("out", raw_upstream.port)) as running:
        circle = service("circle", running.port, strip_path=False, upstream={"retries": 1})
        chain = service("chain", running.port, strip_path=True)  # /chain/chain/out leaves after each its first segment
        running.apply([circle, chain, service("out", raw_upstream.port)], {"one": instance()})
        with Raw(running.port) as client:
            status, _, content = client.send(head(line=b"GET /circle HTTP/1.1")).answer()
            assert (status, b"urn:tollgate:loop_detected" in content) == (508, True)
            assert client.send(head(b"Via: 1.1 a", line=b"GET /circle HTTP/1.1")).answer()[0] == 508
            content = b"5\r\nhello\r\n0\r\n\r\n"
            post = head(b"Transfer-Encoding: chunked", line=b"POST /circle HTTP/1.1") + content
            assert client.send(post).answer()[0] == 508
        counts = running.counts()["circle"]
        assert counts["calls"] == 3 * HOPS_MAX
        assert counts["frontend_error:loop_detected"] == 3
        with Raw(running.port) as client:
            target = b"/chain" * (HOPS_MAX - 1) + b"/out/x"
            assert client.send(head(line=b"GET " + target + b" HTTP/1.1")).answer()[0] == 200
            assert client.send(head(line=b"GET /chain" + target + b" HTTP/1.1")).answer()[0] == 508
            assert client.send(head(line=b"GET /out/x HTTP/1.1")).answer()[0] == 200  # The refusal left nothing behind.
        assert raw_upstream.requests[0].fields["via"] == ", ".join(["1.1 tollgate"] * HOPS_MAX)


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


@pytest.mark.parametrize(
    "fields, told",
    [
        pytest.param([], "/a", id="none"),
        pytest.param([b"X-Forwarded-Prefix: /outer"], "/outer/a", id="one"),
        pytest.param([b"X-Forwarded-Prefix: /outer/"], "/outer/a", id="with a slash at its end"),
        pytest.param([b"X-Forwarded-Prefix: /one, /two"], "/one/two/a", id="a list"),
        pytest.param([b"X-Forwarded-Prefix: /one", b"x-forwarded-prefix: /two"], "/one/two/a", id="two fields"),
        pytest.param([b"X-Forwarded-Prefix: //evil.example"], "/a", id="a host"),
        pytest.param([b"X-Forwarded-Prefix: outer"], "/a", id="no path"),
        pytest.param([b"X-Forwarded-Prefix: /"], "/a", id="a slash"),
    ],
)
def test_what_a_trusted_proxy_stripped_comes_before_what_is_stripped_here(
    trusting: Conversation, fields: list[bytes], told: str
) -> None:
    trusting.upstream.reset()
    seen = trusting.passes(head(*fields))
    assert seen.fields["x-forwarded-prefix"] == told
    assert seen.raw.lower().count(b"x-forwarded-prefix") == 1


def test_a_prefix_that_is_not_stripped_is_not_told(raw_upstream: RawUpstream, tmp_path: Path) -> None:
    services = [service("a", raw_upstream.port), service("whole", raw_upstream.port, strip_path=False)]
    raw_upstream.reset()
    with worker(tmp_path, *services, trusted_proxies=["127.0.0.0/8"]) as running, Raw(running.port) as client:
        # By one connection: what is told of one service is not told of the next.
        for line, field, told in (
            (b"GET /whole/x HTTP/1.1", b"A: 1", None),
            (b"GET /a/x HTTP/1.1", b"A: 1", "/a"),
            (b"GET /whole/x HTTP/1.1", b"A: 1", None),
            (b"GET /whole/x HTTP/1.1", b"X-Forwarded-Prefix: /outer", "/outer"),
            (b"GET /whole/x HTTP/1.1", b"A: 1", None),
        ):
            assert client.send(head(field, line=line)).answer()[0] == 200
            assert raw_upstream.requests[-1].fields.get("x-forwarded-prefix") == told
