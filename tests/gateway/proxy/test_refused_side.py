"""Whose the bytes of an answer are that refuses: a side of their own, on both bases, over real sockets (X11)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from gateway.entry.tls import TlsSettings
from gateway.proxy.client import ClientConnection
from gateway.proxy.core import ClientBounds, Core
from gateway.proxy.state import EXCHANGE
from metering.cells import REFUSED_BESIDE_CLIENT
from metering.clock import VirtualClock
from metering.meter import Meter
from metering.tcp_info import IPV4_HEADERS_BYTES, IS_MEASURED
from tests.certificates import Authority
from tests.gateway.data_plane import Raw, WorkerProcess, instance, service, worker
from tests.gateway.proxy.origins import origin_of, read_head
from tests.gateway.proxy.test_wire import in_segments, received
from tests.node import free_port, origin, until

measured = pytest.mark.skipif(not IS_MEASURED, reason="the kernel has no TCP_INFO with bytes sent")

KEY = "right"
AUTH: dict[str, Any] = {
    "header": "X-Api-Key",
    "strip": False,
    "keys": [{"id": "k", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}],
}
CAP = 64 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with origin() as port:
        yield port


@pytest.fixture
def running(tmp_path: Path, upstream: int) -> Iterator[WorkerProcess]:
    with worker(tmp_path, service("a", upstream, auth=AUTH)) as made:
        yield made


def get(path: str, key: str = "wrong") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {key}\r\n\r\n".encode()


def egress(running: WorkerProcess, side: str, basis: str, service: str = "a", network: str = "internet") -> int:
    return running.counts().get(service, {}).get(f"egress:{side}:{network}:{basis}", 0)


@pytest.mark.parametrize("network", ["internet", "vpc"])
@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(get("/a/bytes/1"), id="GET"),
        pytest.param(get("/a/bytes/1").replace(b"GET", b"HEAD"), id="HEAD"),
        pytest.param(get("/a/bytes/1").replace(b"1.1", b"1.0"), id="HTTP 1.0"),
        pytest.param(get("/a/bytes/1").replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\nabc"), id="with content"),
    ],
)
def test_a_refusal_is_of_the_side_and_the_network_it_went_to(
    tmp_path: Path, upstream: int, request_bytes: bytes, network: str
) -> None:
    with worker(tmp_path, service("a", upstream, auth=AUTH), entry={"network": network}) as running:
        with Raw(running.port) as client:
            client.send(request_bytes)
            status, _, _ = client.answer(to_head=request_bytes.startswith(b"HEAD"))
            assert status == 401
        running.drain()
        found = {meter: n for meter, n in running.counts()["a"].items() if meter.startswith("egress")}
        assert found.pop(f"egress:refused:{network}:application") == client.bytes_read
        if IS_MEASURED:
            assert found.pop(f"egress:refused:{network}:wire") >= client.bytes_read + IPV4_HEADERS_BYTES
        assert not found, "nothing else was sent"


def test_what_failed_behind_the_gateway_is_a_calls(tmp_path: Path) -> None:
    """B5: a valid call, and its answer's bytes with it."""
    with worker(tmp_path, service("a", free_port(), upstream={"retries": 0})) as running:
        with Raw(running.port) as client:
            assert client.send(get("/a/x")).answer()[0] == 502
        assert egress(running, "client", "application") == client.bytes_read
        assert egress(running, "refused", "application") == 0


@measured
@pytest.mark.parametrize("pause_s", [0.0, 0.1])
def test_calls_and_refusals_in_turn_have_what_each_sent(running: WorkerProcess, pause_s: float) -> None:
    """Of one service over one connection, as services in turn have: to the byte, on the wire to a few headers."""
    with Raw(running.port) as client:
        by_kernel, read = {"client": 0, "refused": 0}, {"client": 0, "refused": 0}
        wire_before = read_before = 0
        for key in (KEY, "wrong", "wrong", KEY, KEY) * (4 if pause_s else 60):
            status, _, _ = client.send(get("/a/bytes/900", key)).answer()
            side = "client" if status == 200 else "refused"
            assert (status, key) in ((200, KEY), (401, "wrong"))
            time.sleep(pause_s)  # Part of the traffic: after 40 ms what came is acknowledged.
            wire_now = received(client.socket)
            by_kernel[side] += wire_now - wire_before
            read[side] += client.bytes_read - read_before
            wire_before, read_before = wire_now, client.bytes_read
    running.drain()
    for side in by_kernel:
        assert egress(running, side, "application") == read[side]
        assert egress(running, side, "wire") >= read[side]
        assert egress(running, side, "wire") == pytest.approx(by_kernel[side], abs=6 * IPV4_HEADERS_BYTES)


@measured
def test_a_large_answer_before_a_refusal_is_none_of_it(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        for _ in range(5):
            assert client.send(get("/a/bytes/300000", KEY)).answer()[0] == 200
            before = client.bytes_read
            assert client.send(get("/a/bytes/1")).answer()[0] == 401
            refusal_bytes = client.bytes_read - before
    running.drain()
    assert egress(running, "refused", "application") == 5 * refusal_bytes
    assert egress(running, "refused", "wire") <= 5 * refusal_bytes + 20 * IPV4_HEADERS_BYTES
    assert egress(running, "client", "wire") >= 5 * 300_000


@measured
@pytest.mark.parametrize("ends_first", ["gateway", "client"])
def test_connections_of_refusals_alone_cost_nothing_from_handshake_to_end(
    tmp_path: Path, upstream: int, ends_first: str
) -> None:
    """A TLS handshake is more than the refusal after it."""
    authority = Authority(tmp_path)
    tls = asdict(TlsSettings((authority.issue("server", "x").paths,)))
    request = get("/a/bytes/1")
    if ends_first == "gateway":
        request = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with worker(tmp_path, service("a", upstream, auth=AUTH), entry={"tls": tls}) as running:
        read = 0
        for _ in range(10):
            with Raw(running.port, context=authority.client_context(), name="x") as client:
                assert client.send(request).answer()[0] == 401
                if ends_first == "gateway":
                    assert client.rest() == b""
                read += client.bytes_read
        running.drain()
        assert egress(running, "refused", "application") == read
        assert egress(running, "refused", "wire") >= read + 10 * 500, "certificates and records"
        assert not any(meter.startswith("egress:client") for meter in running.counts()["a"])


@measured
def test_nothing_of_a_suspended_accounts_connection_is_the_accounts(tmp_path: Path, upstream: int) -> None:
    """X15: neither its handshake."""
    authority = Authority(tmp_path)
    tls = asdict(TlsSettings((authority.issue("server", "x").paths,)))
    with worker(tmp_path, service("a", upstream), one=instance(serving=False), entry={"tls": tls}) as running:
        with Raw(running.port, context=authority.client_context(), name="x") as client:
            for _ in range(3):
                assert client.send(get("/a/bytes/1")).answer()[0] == 402
        running.drain()
        assert not any(meter.startswith("egress") for meter in running.counts()["a"])
        assert egress(running, "client", "application", "-") == client.bytes_read


def test_content_refused_while_it_is_forwarded(tmp_path: Path) -> None:
    """What the upstream said to go on is its own, forwarded; the 413 after it is the gateway's, and no call's."""

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(CONTINUE)
        while connection.recv(65_536):
            pass

    with (
        origin_of(serve) as origin,
        worker(tmp_path, service("a", origin.port), one=instance(body_max=CAP)) as running,
    ):
        with Raw(running.port) as client:
            head = b"POST /a/x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
            assert client.send(head).head()[0] == 100
            interim_bytes = client.bytes_read
            in_segments(client.socket, b"%x\r\n%b\r\n" % (CAP + 1, bytes(CAP + 1)))
            status, _, content = client.answer()
            assert (status, json.loads(content)["type"]) == (413, "urn:tollgate:body_too_large")
        running.drain()
        assert "calls" not in running.counts()["a"]
        assert egress(running, "client", "application") == interim_bytes
        assert egress(running, "refused", "application") == client.bytes_read - interim_bytes
        for side in ("client", "refused") if IS_MEASURED else ():
            assert egress(running, side, "wire") >= egress(running, side, "application") + IPV4_HEADERS_BYTES


def test_content_that_stalls(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        client.send(
            get("/a/echo", KEY).replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nab").replace(b"GET", b"POST")
        )
        assert client.answer()[0] == 408
    assert egress(running, "refused", "application") == client.bytes_read
    assert egress(running, "client", "application") == 0


@measured
def test_who_waits_and_is_refused_costs_nothing_and_who_waits_and_is_served_does(tmp_path: Path, upstream: int) -> None:
    """Connections are read each second, so while they wait too."""
    authority = Authority(tmp_path)
    tls = asdict(TlsSettings((authority.issue("server", "x").paths,)))
    limited = service("a", upstream, limit={"slot": 1, "qps": 1}, wait_ms_max=60_000)
    context = authority.client_context()
    with worker(tmp_path, limited, entry={"tls": tls}) as running:
        with Raw(running.port, context=context, name="x") as client:
            for _ in range(2):
                assert client.send(get("/a/bytes/1")).answer()[0] == 200
            waiting = [Raw(running.port, context=context, name="x").send(get("/a/bytes/1")) for _ in range(8)]
            until(lambda: egress(running, "refused", "wire") > 8 * 500, "they are read while they wait", 10)
            for one in waiting[4:]:
                one.close()  # The last ones: none of them comes to be admitted.
            for one in waiting[:4]:
                assert one.answer()[0] == 200
                one.close()
            until(lambda: running.counts()["a"].get("frontend_error:rate_limited") == 4, "they are gone", 5)
        running.drain()
        assert running.counts()["a"]["calls"] == 6
        assert egress(running, "refused", "application") == 0, "they were gone before they were told"
        assert egress(running, "client", "application") == client.bytes_read + sum(one.bytes_read for one in waiting)
        assert egress(running, "client", "application") <= egress(running, "client", "wire")


def test_a_row_is_in_use_while_a_refusal_of_it_is_on_its_way(tmp_path: Path) -> None:
    """Or its last bytes would be the next service's that is given the row."""
    loop = asyncio.new_event_loop()
    meter = Meter(tmp_path, "n:t:0", VirtualClock())
    core = Core(loop, meter, ClientBounds(), ())
    rows = [meter.row("acme", "one", "r", name) for name in "abc"]
    client = ClientConnection(core, "vpc", "http")
    client._state = EXCHANGE  # Not at rest, so that what is read for stays.
    client.wire.turn_to(rows[1] + REFUSED_BESIDE_CLIENT, 1)
    core.clients.add(client)
    in_use = core.close_hour(frozenset({rows[0]})).rows
    assert in_use is not None
    assert {rows[0], rows[1]} <= in_use
    assert rows[2] not in in_use
    meter.close()
    loop.close()
