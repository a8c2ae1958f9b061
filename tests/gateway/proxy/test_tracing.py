"""Traces of a real worker: spans as a receiver gets them, and the context that upstreams are told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.gateway.data_plane import Raw, WorkerProcess, service, worker
from tests.gateway.proxy.origins import OK, Origin, origin_of, read_head
from tests.gateway.proxy.receiver import Received, Receiver, receiving
from tests.node import free_port, until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ROUTES = [{"id": "one", "methods": ["GET", "BREW"], "path": "/items/{id}", "limit": None}]
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"


class Upstream:
    """Keeps the heads that it was sent; answers by their paths."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    def __call__(self, connection: Any) -> None:
        while head := read_head(connection):
            self.heads.append(head)
            if b"/cut " in head:
                connection.sendall(CUT)
                return
            if b"/silent " not in head:
                connection.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n" if b"/503 " in head else OK)

    def told(self) -> dict[str, list[str]]:
        """The trace fields of the last head, by name."""
        found: dict[str, list[str]] = {}
        for line in self.heads[-1].decode().split("\r\n"):
            name, _, value = line.partition(": ")
            if name.lower().startswith("trace"):
                found.setdefault(name.lower(), []).append(value)
        return found


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture(scope="module")
def origin(upstream: Upstream) -> Iterator[Origin]:
    with origin_of(upstream) as running:
        yield running


def tracing(receiver: Receiver, sample: float, queue_max: int = 100) -> dict[str, Any]:
    return {"endpoint": receiver.url, "sample": sample, "queue_max": queue_max, "node": "node-1"}


@pytest.fixture(scope="module")
def traced(receiver: Receiver, origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """One that records everything, and writes an access log too."""
    folder = tmp_path_factory.mktemp("traced")
    services = (
        service("s", origin.port, routes=ROUTES),
        service("any", origin.port),
        service("gone", free_port(), upstream={"retries": 0}),
    )
    with worker(folder, *services, tracing=tracing(receiver, 1.0), access_log=folder / "access.log") as running:
        yield running


def get(path: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: shop.example:8080", *fields, "", ""]).encode()


REQUESTS = {
    "plain": get("/s/items/7?token=secret", "User-Agent: curl/8", "X-Request-Id: abc"),
    "child": get("/any/x", f"traceparent: 00-{TRACE}-{SPAN}-01", "tracestate: vendor=1"),
    "503": get("/any/503"),
    "cut": get("/any/cut"),
    "gone": get("/gone/x"),
    "no route": get("/nowhere"),
    "other method": get("/s/items/7", method="BREW"),
    "no method": get("/s/items/7", method="PUT"),
    "no head": b"GET / HTTP/9\r\n\r\n",
    "half a head": b"GET /half HTTP/1.1\r\nHo",
    "half a request": b"POST /any/silent HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf",
}
Told = dict[str, dict[str, list[str]]]


@pytest.fixture(scope="module")
def told(traced: WorkerProcess, upstream: Upstream) -> Told:
    """Every request above, one after the other, and what its upstream was told of its trace."""
    found = {}
    for ended, (name, request) in enumerate(REQUESTS.items(), 1):
        with Raw(traced.port) as client:
            client.send(request)
            if name == "half a request":
                until(lambda: b"/silent " in upstream.heads[-1], "it is there", 5)
            elif not name.startswith("half"):
                client.rest() if name == "cut" else client.answer()
        until(lambda ended=ended: endings(traced) == ended, "it has ended", 5)
        found[name] = upstream.told() if upstream.heads else {}
    return found


def endings(running: WorkerProcess) -> int:
    """How many requests are counted to have ended."""
    is_end = ("duration_bucket", "other_ends")
    return sum(value for of in running.counts().values() for meter, value in of.items() if meter.startswith(is_end))


@pytest.fixture(scope="module")
def spans(told: Told, receiver: Receiver) -> dict[str, Received]:
    """The span of each: they come in the order in which exchanges end."""
    return dict(zip(REQUESTS, receiver.wait_for(len(REQUESTS)), strict=True))


def test_a_span_says_what_was_asked_and_what_became_of_it(
    spans: dict[str, Received], told: Told, origin: Origin
) -> None:
    span, attributes, resource = spans["plain"]
    assert time.time_ns() - 60 * 10**9 < span.start_time_unix_nano < span.end_time_unix_nano <= time.time_ns()
    assert attributes["tollgate.upstream.wait_ms"] > 0
    assert attributes == {
        "http.request.method": "GET",
        "http.route": "/s/items/{id}",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/s/items/7",
        "server.address": "shop.example",
        "server.port": 8080,
        "client.address": "127.0.0.1",
        "network.peer.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "user_agent.original": "curl/8",
        "tollgate.instance.id": "one",
        "tollgate.service.id": "s",
        "tollgate.route.id": "one",
        "tollgate.request.id": "abc",
        "tollgate.upstream.url": f"http://127.0.0.1:{origin.port}",
        "tollgate.upstream.wait_ms": attributes["tollgate.upstream.wait_ms"],
    }
    assert (span.name, span.kind) == ("GET /s/items/{id}", Span.SPAN_KIND_SERVER)
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert span.parent_span_id == b""
    assert told["plain"] == {"traceparent": [f"00-{span.trace_id.hex()}-{span.span_id.hex()}-03"]}
    of_worker = {"service.name": "tollgate", "service.instance.id": "node:boot:shared-0:1", "tollgate.node": "node-1"}
    assert resource.items() >= of_worker.items()
    assert "secret" not in str(span)


def test_a_trace_goes_on_through_the_gateway(spans: dict[str, Received], told: Told) -> None:
    span, attributes, _ = spans["child"]
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (TRACE, SPAN, "vendor=1")
    assert attributes["http.route"] == "/any/*"
    assert told["child"] == {"traceparent": [f"00-{TRACE}-{span.span_id.hex()}-01"], "tracestate": ["vendor=1"]}


@pytest.mark.parametrize(
    "case, name, status, error",
    [
        ("503", "GET /any/*", 503, "503"),
        ("cut", "GET /any/*", 200, "bad_gateway"),
        ("gone", "GET /gone/*", 502, "bad_gateway"),
        ("no route", "GET", 404, None),
        ("other method", "HTTP /s/items/{id}", 200, None),
        ("no method", "PUT", 405, None),
        ("no head", "HTTP", 400, None),
        ("half a head", "HTTP", None, "bad_request"),
        ("half a request", "POST /any/*", None, "client_gone"),
    ],
)
def test_errors_are_the_servers_and_names_are_few(
    spans: dict[str, Received], case: str, name: str, status: int | None, error: str | None
) -> None:
    span, attributes, _ = spans[case]
    assert (span.name, attributes.get("http.response.status_code")) == (name, status)
    assert attributes.get("error.type") == error
    assert span.status.code == (Status.STATUS_CODE_ERROR if error else Status.STATUS_CODE_UNSET)
    assert attributes.get("http.request.method_original") == ("BREW" if case == "other method" else None)


def test_a_line_of_the_log_names_its_trace(spans: dict[str, Received], traced: WorkerProcess) -> None:
    lines = [json.loads(text) for text in (traced.folder / "access.log").read_text().splitlines()]
    assert [line["trace_id"] for line in lines] == [span.trace_id.hex() for span, _, _ in spans.values()]


@pytest.mark.parametrize("trusted, flags, spans", [(["127.0.0.0/8"], "01", 1), ([], "00", 0)])
def test_who_is_trusted_decides_what_is_recorded(
    receiver: Receiver, origin: Origin, upstream: Upstream, tmp_path: Path, trusted: list[str], flags: str, spans: int
) -> None:
    before = len(receiver.spans)
    with worker(
        tmp_path, service("any", origin.port), tracing=tracing(receiver, 0.0), trusted_proxies=trusted
    ) as running:
        with Raw(running.port) as client:
            client.send(get("/any/x", f"traceparent: 00-{TRACE}-{SPAN}-01")).answer()
            (told,) = upstream.told()["traceparent"]
            client.send(get("/any/x")).answer()
            assert upstream.told()["traceparent"][0].endswith("-02"), "a new trace, by the share"
        assert told.startswith(f"00-{TRACE}-")
        assert told.endswith(f"-{flags}")
        running.drain()
    assert [span.trace_id.hex() for span, _, _ in receiver.spans[before:]] == [TRACE] * spans


def test_the_share_is_sampled_and_a_worker_that_ends_sends_the_rest(
    receiver: Receiver, origin: Origin, tmp_path: Path
) -> None:
    before = len(receiver.spans)
    with worker(tmp_path, service("any", origin.port), tracing=tracing(receiver, 0.5, queue_max=200)) as running:
        with Raw(running.port) as client:
            client.send(get("/any/x") * 200)
            for _ in range(200):
                client.answer()
        assert running.drain() == 0
        found = len(receiver.spans) - before
        assert 60 <= found <= 140
        assert running.counts()["-"] == {"spans:exported": found}


@pytest.mark.parametrize("status", [None, 400])
def test_a_receiver_that_takes_nothing_costs_spans_and_no_request(
    origin: Origin, tmp_path: Path, status: int | None
) -> None:
    """Away, or refusing: what the queue does not hold is dropped, and all of it is counted."""
    with receiving() as receiver:
        receiver.status = status or 200
        options = tracing(receiver, 1.0, queue_max=10)
        if status is None:
            receiver.stop()
        with worker(tmp_path, service("any", origin.port), tracing=options) as running:
            with Raw(running.port) as client:
                client.send(get("/any/x") * 50)
                assert [client.answer()[0] for _ in range(50)] == [200] * 50
            assert running.drain() == 0
            assert running.counts()["-"] == {"spans:dropped": 50}
        assert receiver.spans == []
