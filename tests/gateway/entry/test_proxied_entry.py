"""An entry with the PROXY protocol, over real sockets: whose address a request has, and who gets in at all."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from gateway.entry.tls import TlsSettings
from tests.certificates import Authority
from tests.gateway.data_plane import Raw, WorkerProcess, service, worker
from tests.gateway.entry.test_proxy_protocol import BAD, GOOD, TCP4, header
from tests.node import origin, until

HOST = "api.example.com"
SEEN = b"GET /open/head HTTP/1.1\r\nHost: x\r\n"
PROXIED = {"proxy_protocol": True, "proxy_protocol_from": []}
FROM_203 = header(0x21, 0x11, TCP4)


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with origin() as port:
        yield port


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, upstream: int) -> Iterator[WorkerProcess]:
    with worker(
        tmp_path_factory.mktemp("proxied"),
        service("open", upstream),
        service("inner", upstream, allow=["203.0.113.0/24"]),
        service("outer", upstream, deny=["203.0.113.0/24"]),
        entry=PROXIED,
        head_timeout=0.5,
        idle_timeout=30.0,
    ) as made:
        yield made


def forwarded_for(client: Raw, *fields: bytes) -> str:
    """What the upstream was told of the client's address."""
    status, _, content = client.send(SEEN + b"".join(field + b"\r\n" for field in fields) + b"\r\n").answer()
    assert status == 200
    return next(value for name, value in json.loads(content)["fields"] if name.lower() == "x-forwarded-for")


def is_closed(client: Raw) -> bool:
    """Without a byte of an answer."""
    try:
        return client.rest() == b""
    except ConnectionError:
        return True


def client_hello(context: ssl.SSLContext) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=HOST).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("name", GOOD)
def test_a_good_header_gives_the_client_its_address(running: WorkerProcess, name: str) -> None:
    data, address = GOOD[name]
    with Raw(running.port, data) as client:
        assert forwarded_for(client) == (address or "127.0.0.1")
        assert forwarded_for(client) == (address or "127.0.0.1")  # and every request of the connection
    request = SEEN + b"\r\n"
    with Raw(running.port, data + request) as client:  # in one piece with the request
        assert client.answer()[0] == 200


def test_a_header_is_the_same_however_it_is_split(running: WorkerProcess) -> None:
    data = GOOD["TCP over IPv6"][0]
    whole = data + SEEN + b"\r\n"
    with Raw(running.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in whole:
            client.send(bytes([byte]))
        assert b"2001:db8::7" in client.answer()[2]
    for at in range(1, len(data) + 2):
        with Raw(running.port, whole[:at]) as client:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            assert b"2001:db8::7" in client.send(whole[at:]).answer()[2]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_header_closes_the_connection_and_is_no_request(running: WorkerProcess, name: str) -> None:
    before = running.counts()["-"]
    with Raw(running.port, BAD[name] + SEEN + b"\r\n") as client:
        assert is_closed(client)
    assert running.counts()["-"] == before


def test_a_header_that_stalls_closes_the_connection(running: WorkerProcess) -> None:
    for size in (0, 1, 15, 16, len(FROM_203) - 1):
        with Raw(running.port, FROM_203[:size]) as client:
            assert is_closed(client)


def test_address_rules_go_by_the_header(running: WorkerProcess) -> None:
    elsewhere = header(0x21, 0x11, socket.inet_aton("198.51.100.1") + TCP4[4:])
    for path, first, status in (
        (b"/inner/bytes/1", FROM_203, 200),
        (b"/inner/bytes/1", elsewhere, 403),
        (b"/outer/bytes/1", FROM_203, 403),
        (b"/outer/bytes/1", elsewhere, 200),
    ):
        with Raw(running.port, first) as client:
            assert client.send(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n").answer()[0] == status


def test_a_client_behind_the_balancer_cannot_forge_its_address(tmp_path: Path, upstream: int) -> None:
    """The balancer is trusted; what counts is the address it names, and that one is not."""
    with worker(
        tmp_path,
        service("open", upstream),
        service("inner", upstream, allow=["10.0.0.0/8"]),
        entry=PROXIED,
        trusted_proxies=["127.0.0.0/8"],
    ) as running:
        with Raw(running.port, FROM_203) as client:
            assert forwarded_for(client, b"X-Forwarded-For: 10.0.0.1").split(", ")[-1] == "203.0.113.7"
            request = b"GET /inner/bytes/1 HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n"
            assert client.send(request).answer()[0] == 403
        # A second header, as a client would send it through the balancer, is content like any other: a bad request.
        inner = header(0x21, 0x11, socket.inet_aton("10.0.0.1") + TCP4[4:])
        with Raw(running.port, FROM_203 + inner) as client:
            assert client.send(b"GET /inner/bytes/1 HTTP/1.1\r\nHost: x\r\n\r\n").answer()[0] == 400


def test_headers_are_taken_from_named_senders_only(tmp_path: Path, upstream: int) -> None:
    for senders, is_served in ((["10.0.0.0/8"], False), (["10.0.0.0/8", "127.0.0.1/32"], True)):
        folder = tmp_path / str(is_served)
        folder.mkdir()
        entry = {"proxy_protocol": True, "proxy_protocol_from": senders}
        with worker(folder, service("open", upstream), entry=entry) as running:
            with Raw(running.port, FROM_203) as client:
                if is_served:
                    assert forwarded_for(client) == "203.0.113.7"
                else:
                    assert is_closed(client)
            assert ("127.0.0.1 is not in proxy_protocol_from" in running.log.read_text()) is not is_served


def test_a_sender_on_a_dual_stack_socket_is_known_by_its_ipv4_address(tmp_path: Path, upstream: int) -> None:
    entry = {"proxy_protocol": True, "proxy_protocol_from": ["127.0.0.0/8"]}
    mapped = header(0x21, 0x21, bytes(10) + b"\xff\xff" + socket.inet_aton("203.0.113.7") + bytes(16 + 4))
    with worker(
        tmp_path, service("open", upstream, deny=["198.51.100.0/24"]), entry=entry, is_dual_stack=True
    ) as running:
        for first in (FROM_203, mapped):
            with Raw(running.port, first) as client:
                assert forwarded_for(client) == "203.0.113.7"


def test_a_bad_header_is_told_once(tmp_path: Path, upstream: int) -> None:
    with worker(tmp_path, service("open", upstream), entry=PROXIED) as running:
        for _ in range(20):
            with Raw(running.port, BAD["a request"]) as client:
                assert is_closed(client)
        with Raw(running.port, FROM_203) as client:
            assert forwarded_for(client) == "203.0.113.7"
        assert running.log.read_text().count("no PROXY protocol header") == 1


def test_nothing_is_left_of_refused_connections(running: WorkerProcess) -> None:
    def descriptors() -> int:
        return len(list(Path(f"/proc/{running.process.pid}/fd").iterdir()))

    before = descriptors()
    for name in list(BAD) * 3:
        with Raw(running.port, BAD[name]) as client:
            assert is_closed(client)
    until(lambda: descriptors() <= before, "as many descriptors as before")


def test_the_header_comes_before_the_handshake(tmp_path: Path, upstream: int) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server", HOST)
    tls = {"tls": asdict(TlsSettings((pair.paths,)))}
    with worker(tmp_path, service("open", upstream), entry=tls | PROXIED, head_timeout=0.5) as running:
        context = authority.client_context()
        for first, address in ((FROM_203, "203.0.113.7"), (GOOD["LOCAL"][0], "127.0.0.1")):
            for _ in range(5):
                with Raw(running.port, first, context, HOST) as client:
                    assert forwarded_for(client) == address
                    content = b"0123456789" * 50_000
                    head = b"POST /open/echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(content)
                    assert client.send(head + content).answer()[2] == content
        for first in (b"", BAD["version 1"], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
            with Raw(running.port, first + client_hello(context)) as client:
                assert is_closed(client)
        with Raw(running.port, FROM_203) as client:  # A handshake that does not come.
            assert is_closed(client)
        with Raw(running.port, FROM_203 + b"\x80 no handshake\r\n\r\n") as client:  # Nor does this begin one.
            assert client.rest()[:1] in (b"", b"\x15")
        renewed = authority.issue("server", HOST)
        running.tell({"do": "certificates"})

        def shown() -> bool:
            with Raw(running.port, FROM_203, context, HOST) as client:
                data = client.socket.getpeercert(binary_form=True)  # type: ignore[attr-defined]
                return bytes(data) == renewed.der

        until(shown, "the new certificate is shown")
        assert running.counts()["-"].keys() <= {"egress:client:internet:wire"}, "handshakes, and no request"
        assert "Traceback" not in running.log.read_text()


def test_a_drain_does_not_wait_for_the_silent_and_serves_who_is_in_its_header(tmp_path: Path, upstream: int) -> None:
    with (
        worker(tmp_path, service("open", upstream), entry=PROXIED) as running,
        Raw(running.port) as silent,
        Raw(running.port, FROM_203[:20]) as begun,
    ):
        with Raw(running.port, FROM_203) as other:
            assert forwarded_for(other) == "203.0.113.7"  # Accepted after the first two, so all are in.
        running.process.terminate()
        assert is_closed(silent)  # So the drain has begun.
        begun.send(FROM_203[20:] + SEEN + b"\r\n")
        status, fields, _ = begun.answer()
        assert (status, fields.get("connection")) == (200, "close")
        assert running.process.wait(10) == 0
