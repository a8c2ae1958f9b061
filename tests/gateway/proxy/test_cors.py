"""CORS by the gateway: preflights without a key, answers that the right origins may read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.http.request import RequestHead
from gateway.proxy.cors import CorsRule
from tests.gateway.data_plane import Raw, WorkerProcess, instance, service, worker
from tests.gateway.proxy.origins import answering, origin_of
from tests.node import free_port, origin

APP = "https://app.example.com"


def rule(*origins: str, **changes: Any) -> dict[str, Any]:
    document = {
        "origins": list(origins),
        "methods": ["GET", "PUT"],
        "headers": ["X-Api-Key"],
        "expose": ["X-Request-Id"],
        "credentials": False,
        "max_age": 600,
    }
    return document | changes


@pytest.fixture
def running(tmp_path: Path) -> Iterator[WorkerProcess]:
    keys = [{"id": "k", "sha256": hashlib.sha256(b"key").hexdigest()}]
    auth = {"header": "X-Api-Key", "strip": True, "keys": keys}
    routes: list[dict[str, Any]] = [
        {"id": "get", "methods": ["GET"], "path": "/bytes/{n}", "limit": None},
        {"id": "put", "methods": ["PUT"], "path": "/echo", "limit": {"slot": 0, "qps": 1}},
    ]
    with (
        origin() as port,
        worker(
            tmp_path,
            service("s", port, cors=rule(APP, credentials=True), auth=auth, routes=routes),
            service("any", port, cors=rule("*")),
            service("none", port),
        ) as made,
    ):
        yield made


def ask(running: WorkerProcess, method: str, path: str, *fields: str) -> tuple[int, dict[str, str]]:
    with Raw(running.port) as client:
        client.send("\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *fields, "", ""]).encode())
        status, answered, _ = client.answer()
        return status, answered


def preflight(running: WorkerProcess, path: str, method: str, origin: str = APP) -> tuple[int, dict[str, str]]:
    return ask(running, "OPTIONS", path, f"Origin: {origin}", f"Access-Control-Request-Method: {method}")


def test_a_preflight_is_answered_before_any_key_and_is_a_call(running: WorkerProcess) -> None:
    status, fields = preflight(running, "/s/bytes/1", "GET")
    assert status == 204
    assert fields["access-control-allow-origin"] == APP
    assert fields["access-control-allow-methods"] == "GET, PUT"
    assert fields["access-control-allow-headers"] == "X-Api-Key"
    assert fields["access-control-allow-credentials"] == "true"
    assert fields["access-control-max-age"] == "600"
    assert fields["vary"] == "Origin"
    assert "content-length" not in fields
    assert running.counts().get("s", {})["calls"] == 1


def test_a_preflight_goes_by_the_limit_of_the_route_it_asks_for(running: WorkerProcess) -> None:
    answered = [preflight(running, "/s/echo", "PUT")[0] for _ in range(6)]
    assert answered.count(429) >= 3
    assert set(answered) == {204, 429}
    assert running.counts().get("s", {})["frontend_error:rate_limited"] == answered.count(429)


def test_a_preflight_for_what_no_route_takes_or_from_elsewhere_is_refused(running: WorkerProcess) -> None:
    assert preflight(running, "/s/echo", "DELETE")[0] == 405
    assert preflight(running, "/s/nothing", "GET")[0] == 404
    status, fields = preflight(running, "/s/bytes/1", "GET", origin="https://evil.example")
    assert status == 403
    assert "access-control-allow-origin" not in fields
    assert "calls" not in running.counts().get("s", {})


def test_answers_say_who_may_read_them_errors_too(running: WorkerProcess) -> None:
    status, fields = ask(running, "GET", "/s/bytes/1", f"Origin: {APP}", "X-Api-Key: key")
    assert (status, fields["access-control-allow-origin"]) == (200, APP)
    assert fields["access-control-expose-headers"] == "X-Request-Id, Retry-After, RateLimit, RateLimit-Policy"
    status, fields = ask(running, "GET", "/s/bytes/1", f"Origin: {APP}")
    assert (status, fields["access-control-allow-origin"]) == (401, APP)
    status, fields = ask(running, "GET", "/s/bytes/1", "Origin: https://evil.example", "X-Api-Key: key")
    assert status == 200
    assert "access-control-allow-origin" not in fields
    assert fields["vary"] == "Origin"


REFUSALS = [
    pytest.param("/denied/bytes/1", "GET", [], 403, id="an address that is not allowed"),
    pytest.param("/s/nothing", "GET", [], 404, id="no such route"),
    pytest.param("/s/echo", "GET", [], 405, id="no such method"),
    pytest.param("/ws/x", "GET", [], 426, id="no upgrade"),
    pytest.param("/two/x", "GET", [], 402, id="a suspended account"),
    pytest.param("/s/bytes/1", "GET", [], 401, id="no key"),
    pytest.param("/any/echo", "POST", ["Content-Length: 9999999"], 413, id="content that is too long"),
    pytest.param("/any/x", "GET", ["Via: 1.1 tollgate" + ", 1.1 tollgate" * 8], 508, id="a circle"),
    pytest.param("/any/x", "TRACE", ["Max-Forwards: 0"], 501, id="no hops left"),
    pytest.param("/gone/x", "GET", [], 502, id="an upstream that is not there"),
]


@pytest.mark.parametrize("path, method, fields, status", REFUSALS)
def test_whatever_is_refused_a_page_that_may_ask_reads_why(
    tmp_path: Path, path: str, method: str, fields: list[str], status: int
) -> None:
    keys = [{"id": "k", "sha256": hashlib.sha256(b"key").hexdigest()}]
    routes: list[dict[str, Any]] = [
        {"id": "get", "methods": ["GET"], "path": "/bytes/{n}", "limit": None},
        {"id": "put", "methods": ["PUT"], "path": "/echo", "limit": None},
    ]
    with (
        origin() as port,
        worker(
            tmp_path,
            service(
                "s", port, cors=rule(APP), routes=routes, auth={"header": "X-Api-Key", "strip": True, "keys": keys}
            ),
            service("any", port, cors=rule(APP)),
            service("denied", port, cors=rule(APP), deny=["127.0.0.0/8"]),
            service("ws", port, cors=rule(APP), protocol="websocket"),
            service("two", port, cors=rule(APP), instance="two"),
            service("gone", free_port(), cors=rule(APP)),
            two=instance(serving=False),
        ) as running,
    ):
        answered, told = ask(running, method, path, f"Origin: {APP}", *fields)
        assert answered == status
        assert told["access-control-allow-origin"] == APP
        assert "Retry-After, RateLimit" in told["access-control-expose-headers"]
        answered, told = ask(running, method, path, "Origin: https://evil.example", *fields)
        assert answered == status
        assert "access-control-allow-origin" not in told
        assert told["vary"] == "Origin"


def test_a_page_reads_when_to_come_again(tmp_path: Path) -> None:
    limit = {"slot": 0, "qps": 1}
    with origin() as port, worker(tmp_path, service("s", port, cors=rule(APP, expose=[]), limit=limit)) as running:
        answers = [ask(running, "GET", "/s/bytes/1", f"Origin: {APP}") for _ in range(6)]
        refused = [fields for status, fields in answers if status == 429]
        assert refused
        for fields in refused:
            assert fields["access-control-allow-origin"] == APP
            assert fields["retry-after"] == "1"
            exposed = fields["access-control-expose-headers"].split(", ")
            assert exposed == ["Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-Id"]


def test_what_is_exposed_is_named_once(tmp_path: Path) -> None:
    with origin() as port, worker(tmp_path, service("s", port, cors=rule("*", expose=["retry-after", "X"]))) as running:
        fields = ask(running, "GET", "/s/bytes/1", f"Origin: {APP}")[1]
        assert fields["access-control-expose-headers"] == "retry-after, X, RateLimit, RateLimit-Policy, X-Request-Id"


def test_any_origin_is_a_star(running: WorkerProcess) -> None:
    assert ask(running, "GET", "/any/bytes/1", "Origin: null")[1]["access-control-allow-origin"] == "*"
    assert preflight(running, "/any/bytes/1", "GET", origin="https://x.example")[0] == 204


def test_the_rule_of_one_answer_does_not_reach_the_next(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        for path, has_field in (("/any/bytes/1", True), ("/none/bytes/1", False), ("/nowhere", False)):
            client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nOrigin: {APP}\r\n\r\n".encode())
            assert ("access-control-allow-origin" in client.answer()[1]) == has_field


def test_without_a_rule_options_are_the_upstreams(running: WorkerProcess) -> None:
    assert "access-control-allow-origin" not in preflight(running, "/none/bytes/1", "GET")[1]
    assert running.counts().get("none", {})["calls"] == 1


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[WorkerProcess]:
    """WebSocket services: one with a rule, one that any origin may open, one without a rule."""
    with (
        origin_of(answering(SWITCH)) as upstream,
        worker(
            tmp_path,
            service("ws", upstream.port, protocol="websocket", cors=rule(APP, "https://other.example.com")),
            service("any", upstream.port, protocol="websocket", cors=rule("*")),
            service("none", upstream.port, protocol="websocket"),
        ) as made,
    ):
        yield made


def handshake(running: WorkerProcess, path: str, *fields: str) -> int:
    with Raw(running.port) as client:
        lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket", *fields, "", ""]
        return client.send("\r\n".join(lines).encode()).head()[0]


@pytest.mark.parametrize(
    "origins",
    [
        ["https://evil.example"],
        ["null"],
        ["http://app.example.com"],
        ["https://app.example.com:8443"],
        ["https://app.example.com.evil.example"],
        ["https://APP.example.com"],
        [APP, "https://evil.example"],
        [APP, APP],
        [f"{APP}, https://evil.example"],
        [""],
        ["*"],
    ],
)
def test_a_page_of_another_origin_opens_no_websocket(sockets: WorkerProcess, origins: list[str]) -> None:
    """Cross-site WebSocket hijacking: there is no preflight, and the user's cookies are with the handshake."""
    assert handshake(sockets, "/ws", *[f"Origin: {origin}" for origin in origins]) == 403
    counts = sockets.counts()["ws"]
    assert counts["frontend_error:forbidden"] == 1
    assert "websocket_connections" not in counts


def test_who_may_opens_one_and_so_does_what_is_no_browser(sockets: WorkerProcess) -> None:
    assert handshake(sockets, "/ws", f"Origin: {APP}") == 101
    assert handshake(sockets, "/ws") == 101
    for path in ("/any", "/none"):
        assert handshake(sockets, path, "Origin: https://evil.example") == 101
        assert handshake(sockets, path) == 101


@pytest.mark.parametrize(
    "asking, is_allowed",
    [
        ("https://a.example.com", True),
        ("https://a.b.example.com", True),
        ("https://a-1_x.example.com", True),
        ("http://a.shop.example:8443", True),
        ("https://example.com", False),
        ("https://.example.com", False),
        ("https://a..example.com", False),
        ("https://evilexample.com", False),
        ("https://evil.com/.example.com", False),
        ("https://evil.com:1.example.com", False),
        ("https://evil.com#.example.com", False),
        ("https://a.example.com.evil.com", False),
        ("https://axexample.com", False),
        ("https://a.example.com:8443", False),
        ("http://a.example.com", False),
        ("http://a.shop.example", False),
        ("https://*.example.com", False),
        ("null", False),
    ],
)
def test_a_wildcard_is_for_every_name_below_it_and_for_nothing_else(asking: str, is_allowed: bool) -> None:
    cors = CorsRule(rule("https://*.example.com", "http://*.shop.example:8443", credentials=True))
    head = RequestHead()
    assert head.parse(f"GET / HTTP/1.1\r\nHost: x\r\nOrigin: {asking}\r\n\r\n".encode(), 32768, 8192, 128)
    assert (f"Access-Control-Allow-Origin: {asking}\r\nVary: Origin".encode() in cors.fields(head)) == is_allowed
