"""Wire bytes against the kernel's figures at the other end: a real worker, real sockets, no loss on loopback."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from gateway.entry.tls import TlsSettings
from metering.tcp_info import IPV4_HEADERS_BYTES, IS_MEASURED
from tests.certificates import Authority
from tests.gateway.data_plane import Raw, WorkerProcess, instance, service, worker
from tests.node import origin, until

pytestmark = pytest.mark.skipif(not IS_MEASURED, reason="the kernel has no TCP_INFO with bytes sent")

# A few segments carry nothing and are counted at one end only: the handshake's, the last acknowledgements.
SLACK_BYTES = 30 * IPV4_HEADERS_BYTES


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with origin() as port:
        yield port


@pytest.fixture
def running(tmp_path: Path, upstream: int) -> Iterator[WorkerProcess]:
    services = [service("a", upstream), service("b", upstream), service("socket", upstream, protocol="websocket")]
    with worker(tmp_path, *services) as made:
        yield made


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def received(connection: socket.socket) -> int:
    """Wire bytes that reached this end: payload (without repeats) and a header for each segment."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 144)
    (payload_bytes,) = struct.unpack_from("<Q", info, 128)
    (segments,) = struct.unpack_from("<I", info, 140)
    return int(payload_bytes) + int(segments) * IPV4_HEADERS_BYTES


def client_egress(running: WorkerProcess, service: str, basis: str) -> int:
    return running.counts().get(service, {}).get(f"egress:client:internet:{basis}", 0)


def backend_egress(running: WorkerProcess, service: str, basis: str) -> int:
    return running.counts().get(service, {}).get(f"egress:backend:vpc:{basis}", 0)


def test_a_connection_that_serves_two_services_is_split_between_them(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        by_kernel = {"a": 0, "b": 0}
        before = 0
        for name, size in (("a", 100), ("b", 70_000), ("a", 30_000), ("b", 5)) * 5:
            client.send(get(f"/{name}/bytes/{size}")).answer()
            now = received(client.socket)
            by_kernel[name] += now - before
            before = now
        until(lambda: client_egress(running, "b", "wire") >= by_kernel["b"] - SLACK_BYTES, "the last is read", 5)
        for name, wire_bytes in by_kernel.items():
            assert client_egress(running, name, "wire") == pytest.approx(wire_bytes, abs=4 * SLACK_BYTES)
        total = sum(client_egress(running, name, "wire") for name in by_kernel)
        assert total == pytest.approx(received(client.socket), abs=SLACK_BYTES)
    running.drain()
    for name in by_kernel:
        assert client_egress(running, name, "application") <= client_egress(running, name, "wire")
        assert backend_egress(running, name, "application") <= backend_egress(running, name, "wire")


def test_both_sides_are_counted_when_connections_end_at_once(running: WorkerProcess) -> None:
    """Nothing waits for the second in which readings are made: the end of a connection is one."""
    for _ in range(20):
        with Raw(running.port) as client:
            client.send(
                b"POST /a/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5000\r\n\r\n" + bytes(5000)
            )
            client.answer()
    running.drain()
    for egress in (client_egress, backend_egress):
        application_bytes, wire_bytes = egress(running, "a", "application"), egress(running, "a", "wire")
        assert application_bytes >= 100_000
        assert application_bytes + 20 * IPV4_HEADERS_BYTES <= wire_bytes <= application_bytes * 1.2


@pytest.mark.parametrize("ends_first", ["gateway", "client"])
def test_tls_and_its_handshake_are_on_the_wire(tmp_path: Path, upstream: int, ends_first: str) -> None:
    authority = Authority(tmp_path)
    tls = asdict(TlsSettings((authority.issue("server", "x").paths,)))
    fields = "Connection: close\r\n" if ends_first == "gateway" else ""
    with worker(tmp_path, service("a", upstream), entry={"tls": tls}) as running:
        for _ in range(10):
            with Raw(running.port, context=authority.client_context(), name="x") as client:
                client.send(f"GET /a/bytes/1000 HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode()).answer()
        running.drain()
        application_bytes = client_egress(running, "a", "application")
        assert application_bytes >= 10_000
        assert client_egress(running, "a", "wire") >= application_bytes + 10 * 500, "certificates and records"


def test_a_download_is_counted_as_it_flows(running: WorkerProcess) -> None:
    """Both bases, while its reader has taken a part of it: what was handed over, and no more than fits between."""
    with Raw(running.port) as client:
        client.send(get("/a/bytes/200000000"))
        client.file.read(1_000_000)
        until(lambda: client_egress(running, "a", "wire") >= 1_000_000, "counted before it ended", 5)
        assert client_egress(running, "a", "application") < 200_000_000
        client.file.read(20_000_000)
        until(lambda: client_egress(running, "a", "wire") >= 21_000_000, "and on", 5)


def test_a_tunnel_is_counted_as_it_flows(running: WorkerProcess) -> None:
    upgrade = "GET /socket/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    upgrade += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    with Raw(running.port) as client:
        assert client.send(upgrade.encode()).head()[0] == 101
        for sent in range(1, 4):
            client.send(b"\x82\xfe\x03\xe8" + bytes(4) + bytes(1000))  # a masked binary frame of 1000 bytes
            client.file.read(1004)
            now = sent * 1004
            until(lambda now=now: client_egress(running, "socket", "wire") > now, "the frame is counted", 5)
            until(lambda now=now: backend_egress(running, "socket", "wire") > now, "both ways", 5)


def test_what_no_service_sent_is_nobodys(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        client.send(get("/a/bytes/10")).answer()
        client.send(get("/nowhere")).answer()
        client.send(get("/a/bytes/10")).answer()
    with Raw(running.port):
        pass  # a connection without a request
    running.drain()
    assert client_egress(running, "-", "application") <= client_egress(running, "-", "wire")
    assert client_egress(running, "a", "wire") < 2000


def test_nothing_is_billed_while_suspended_on_either_basis(tmp_path: Path, upstream: int) -> None:
    """X15."""
    with worker(tmp_path, service("a", upstream), one=instance(serving=False)) as running:
        with Raw(running.port) as client:
            assert client.send(get("/a/bytes/10")).answer()[0] == 402
            assert client.send(get("/a/bytes/10")).answer()[0] == 402
        running.drain()
        counts = running.counts()
        assert counts["a"].get("egress:client:internet:wire", 0) <= 2 * IPV4_HEADERS_BYTES, "acknowledgements at most"
        assert counts["-"]["egress:client:internet:wire"] >= counts["-"]["egress:client:internet:application"] > 0
