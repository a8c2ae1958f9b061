"""Wire bytes against the kernel's figures at the other end: a real worker, real sockets, no loss on loopback."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from gateway.entry.tls import TlsSettings
from metering.tcp_info import IPV4_HEADERS_BYTES, IS_MEASURED
from tests.certificates import Authority
from tests.gateway.data_plane import Raw, WorkerProcess, instance, service, worker
from tests.gateway.proxy.origins import OK, origin_of, read_head
from tests.node import origin, until

pytestmark = pytest.mark.skipif(not IS_MEASURED, reason="the kernel has no TCP_INFO with bytes sent")

SMALL_SEGMENT = 500
LEAST_RECORD_BYTES = 21  # A header of 5 bytes and a tag of 16 (RFC 8446 5.2 has one byte more).
# A few segments carry nothing and are counted at one end only: the handshake's, the last acknowledgements.
SLACK_BYTES = 30 * IPV4_HEADERS_BYTES


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with origin() as port:
        yield port


@pytest.fixture
def running(tmp_path: Path, upstream: int) -> Iterator[WorkerProcess]:
    services = [service(id, upstream) for id in "abc"] + [service("socket", upstream, protocol="websocket")]
    with worker(tmp_path, *services) as made:
        yield made


def get(path: str, pad: int = 0) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nPad: {'-' * pad}\r\n\r\n".encode()


def received(connection: socket.socket) -> int:
    """Wire bytes that reached this end: payload (without repeats) and a header for each segment."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 144)
    (payload_bytes,) = struct.unpack_from("<Q", info, 128)
    (segments,) = struct.unpack_from("<I", info, 140)
    return int(payload_bytes) + int(segments) * IPV4_HEADERS_BYTES


def refused(running: WorkerProcess) -> int:
    return sum(counts.get("frontend_error:upgrade_required", 0) for counts in running.counts().values())


def in_segments(connection: socket.socket, data: bytes) -> None:
    """Each by itself: loopback would carry 64 KiB as one, and one acknowledgement would do."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(0, len(data), SMALL_SEGMENT):
        connection.sendall(data[at : at + SMALL_SEGMENT])


def client_egress(running: WorkerProcess, service: str, basis: str) -> int:
    return running.counts().get(service, {}).get(f"egress:client:internet:{basis}", 0)


def refused_egress(running: WorkerProcess, service: str, basis: str) -> int:
    return running.counts().get(service, {}).get(f"egress:refused:internet:{basis}", 0)


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


@pytest.mark.parametrize("pause_s", [0.0, 0.1])
def test_small_exchanges_in_turn_have_what_each_sent(running: WorkerProcess, pause_s: float) -> None:
    """Not read at each turn; with a pause, acknowledgements travel alone, and it is."""
    with Raw(running.port) as client:
        by_kernel, calls = {"a": 0, "b": 0}, {"a": 0, "b": 0}
        before = 0
        for name, size in (("a", 5), ("b", 900), ("b", 900), ("a", 5)) * (5 if pause_s else 60):
            client.send(get(f"/{name}/bytes/{size}", pad=size)).answer()
            time.sleep(pause_s)  # Part of the traffic: after 40 ms what came is acknowledged.
            now = received(client.socket)
            by_kernel[name] += now - before
            before = now
            calls[name] += 1
        total = received(client.socket)
        until(lambda: sum(client_egress(running, name, "wire") for name in by_kernel) >= total - 80, "all is read", 5)
    running.drain()
    for name, wire_bytes in by_kernel.items():
        # The handshake is the first one's.
        least = client_egress(running, name, "application") + calls[name] * IPV4_HEADERS_BYTES
        assert client_egress(running, name, "wire") >= least
        assert client_egress(running, name, "wire") == pytest.approx(wire_bytes, abs=6 * IPV4_HEADERS_BYTES)
    headers = {
        name: backend_egress(running, name, "wire") - backend_egress(running, name, "application") for name in "ab"
    }
    assert min(headers.values()) >= calls["a"] * IPV4_HEADERS_BYTES
    assert headers["a"] == pytest.approx(headers["b"], abs=6 * IPV4_HEADERS_BYTES)


def test_a_large_exchange_between_small_ones_is_read_for_itself(tmp_path: Path) -> None:
    """Its acknowledgements are many, and nobody else's: of what goes up for `b`, and of what `b` downloads."""
    content = bytes(50_000)
    upload = b"POST /b/x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(content) + content
    large = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content

    def serve(connection: socket.socket) -> None:
        while head := read_head(connection):
            is_upload, is_download = head.startswith(b"POST"), head.startswith(b"GET /large")
            rest = len(content) - len(head.partition(b"\r\n\r\n")[2]) if is_upload else 0
            while rest > 0:
                rest -= len(connection.recv(65_536))
            in_segments(connection, large) if is_download else connection.sendall(OK)

    with origin_of(serve) as origin:
        with worker(tmp_path, *[service(id, origin.port) for id in "abc"]) as running:
            with Raw(running.port) as client:
                for _ in range(10):
                    client.send(get("/a/x")).answer()
                    client.send(get("/c/x")).answer()
                    in_segments(client.socket, upload)
                    client.answer()
                    client.send(get("/c/x")).answer()
                    client.send(get("/a/x")).answer()
                    client.send(get("/b/large")).answer()
            running.drain()
        for egress in (client_egress, backend_egress):
            headers_bytes = {id: egress(running, id, "wire") - egress(running, id, "application") for id in "abc"}
            for id in "ac":
                # Two segments each and some at the turns: nothing of the hundreds that `b` acknowledged each time.
                assert 20 * IPV4_HEADERS_BYTES <= headers_bytes[id] <= 60 * IPV4_HEADERS_BYTES
            # Acknowledgements of its own; how many depends on how busy the machine is.
            assert headers_bytes["b"] >= 20 * IPV4_HEADERS_BYTES


def test_answers_that_are_joined_have_one_header(tmp_path: Path, upstream: int) -> None:
    """Of requests that do not wait for answers, to a client that takes those late."""
    refusing = [service(id, upstream, protocol="websocket") for id in "ab"]
    pipelined = 400
    with worker(tmp_path, *refusing) as running:
        with Raw(running.port, receive_bytes=16_384) as client:
            for name in "abab":
                assert client.send(get(f"/{name}/x")).answer()[0] == 426
            client.send(b"".join(get(f"/{name}/x") for name in "ab" * (pipelined // 2)))
            until(lambda: refused(running) == pipelined + 4, "all are answered, to a client that does not read", 5)
            for _ in range(pipelined):
                assert client.answer()[0] == 426
            by_kernel = received(client.socket)
        running.drain()
        counted = sum(refused_egress(running, name, "wire") for name in "ab")
        segments = (counted - sum(refused_egress(running, name, "application") for name in "ab")) // IPV4_HEADERS_BYTES
    assert 0 < segments < pipelined * 0.8, "the kernel joined some"
    assert counted <= by_kernel + 4 * IPV4_HEADERS_BYTES, "no more than the connection's end takes"


@pytest.mark.parametrize("is_upload", [True, False])
def test_content_in_pieces_that_are_joined_is_read(tmp_path: Path, is_upload: bool) -> None:
    """To whoever takes it late: many small writes are fewer segments."""
    pieces = 200
    content = bytes(pieces * SMALL_SEGMENT)
    is_handed_over = threading.Event()
    egress = backend_egress if is_upload else client_egress
    by_kernel = 0

    def piecemeal(connection: socket.socket) -> None:
        """Each piece when the one before was handed on."""
        deadline = time.monotonic() + 10
        before = egress(running, "b", "application")
        for number in range(1, pieces + 1):
            connection.sendall(bytes(SMALL_SEGMENT))
            while egress(running, "b", "application") < before + number * SMALL_SEGMENT:
                assert time.monotonic() < deadline
        is_handed_over.set()

    def serve(connection: socket.socket) -> None:
        nonlocal by_kernel
        while head := read_head(connection):
            if head.startswith(b"POST"):
                assert is_handed_over.wait(10)
                while not head.endswith(content):
                    head += connection.recv(65_536)
                by_kernel = received(connection)
            if head.startswith(b"GET /pieces"):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content))
                piecemeal(connection)
            else:
                connection.sendall(OK)

    with origin_of(serve) as origin:
        origin.receive_bytes(16_384)
        with worker(tmp_path, service("a", origin.port), service("b", origin.port)) as running:
            with Raw(running.port, receive_bytes=16_384) as client:
                for name in "abab":
                    client.send(get(f"/{name}/x")).answer()
                if is_upload:
                    client.send(b"POST /b/x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(content))
                    piecemeal(client.socket)
                    client.answer()
                else:
                    client.send(get("/b/pieces"))
                    assert is_handed_over.wait(10)
                    assert client.answer()[2] == content
                    by_kernel = received(client.socket)
            running.drain()
        counted = sum(egress(running, id, "wire") for id in "ab")
        assert counted <= by_kernel + SLACK_BYTES, "no header for each of the pieces"


def test_tls_records_are_each_services_own(tmp_path: Path, upstream: int) -> None:
    authority = Authority(tmp_path)
    tls = asdict(TlsSettings((authority.issue("server", "x").paths,)))
    calls = 40
    with worker(tmp_path, *[service(id, upstream) for id in "abc"], entry={"tls": tls}) as running:
        with Raw(running.port, context=authority.client_context(), name="x") as client:
            # The handshake is the first one's, what else is found the last one's.
            for name in "c" + "ab" * calls + "c":
                client.send(get(f"/{name}/bytes/100")).answer()
        running.drain()
        for name in "ab":
            beside = client_egress(running, name, "wire") - client_egress(running, name, "application")
            assert beside >= calls * (IPV4_HEADERS_BYTES + LEAST_RECORD_BYTES)


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
        assert "egress:client:internet:wire" not in counts["a"]
        assert counts["-"]["egress:client:internet:wire"] >= counts["-"]["egress:client:internet:application"] > 0
