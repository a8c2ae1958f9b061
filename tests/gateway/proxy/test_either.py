"""HTTP and WebSocket under one path (`protocol: any`), as Socket.IO, GraphQL subscriptions and Jupyter have them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.gateway.data_plane import Raw, WorkerProcess, instance, service, worker
from tests.gateway.proxy.origins import OK, Origin, origin_of, read_head
from tests.gateway.proxy.test_access_log import wait_for
from tests.gateway.proxy.test_cors import APP, rule
from tests.node import free_port, until

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
HANDSHAKE = b"GET /s/x HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n"
PLAIN = b"GET /s/x HTTP/1.1\r\nHost: x\r\n\r\n"


def both(connection: socket.socket) -> None:
    """Opens a tunnel that echoes where it is asked to, and answers other requests; `/no` opens none."""
    while head := read_head(connection):
        if b"pgrade: websocket" in head and b"/no" not in head:
            connection.sendall(SWITCH)
            while data := connection.recv(65_536):
                connection.sendall(data)
            return
        connection.sendall(OK)


@contextmanager
def tunnelling() -> Iterator[Origin]:
    with origin_of(both) as made:
        yield made


@pytest.fixture
def running(tmp_path: Path) -> Iterator[WorkerProcess]:
    with (
        tunnelling() as upstream,
        worker(
            tmp_path,
            service("s", upstream.port, protocol="any"),
            service("ruled", upstream.port, protocol="any", cors=rule(APP)),
            service("gone", free_port(), protocol="any", upstream={"retries": 0}),
            access_log=tmp_path / "access.log",
        ) as made,
    ):
        yield made


def counts(running: WorkerProcess, id: str = "s") -> tuple[int, int]:
    """Calls, and WebSocket connections."""
    found = running.counts().get(id, {})
    return found.get("calls", 0), found.get("websocket_connections", 0)


def test_upgrades_are_tunnels_and_other_requests_are_calls(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        assert client.send(PLAIN).answer()[2] == b"ok"
        assert counts(running) == (1, 0)
        assert client.send(HANDSHAKE + b"early").head()[0] == 101
        assert client._exactly(5) == b"early"
        assert client.send(b"more")._exactly(4) == b"more"
        assert counts(running) == (1, 1)
    until(lambda: running.counts()["s"].get("other_ends"), "the tunnel's end")
    assert counts(running) == (1, 1)


def test_what_asks_for_an_upgrade_and_gets_none_is_a_call(running: WorkerProcess) -> None:
    """Else who put the fields into every request was billed for none."""
    with Raw(running.port) as client:
        for number in range(1, 4):
            answer = client.send(HANDSHAKE.replace(b"/s/x", b"/s/no")).answer()
            assert (answer[0], answer[2]) == (200, b"ok")
            assert counts(running) == (number, 0)
        buckets = sum(
            count for name, count in running.counts()["s"].items() if "duration" in name and "sum" not in name
        )
        assert buckets in (0, 3), "in the histogram like any call"


def test_a_handshake_that_fails_behind_the_gateway_is_a_call(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        assert client.send(HANDSHAKE.replace(b"/s/", b"/gone/")).answer()[0] == 502
    assert counts(running, "gone") == (1, 0)
    assert running.counts()["gone"]["backend_error:bad_gateway"] == 1


def test_a_client_that_leaves_its_handshake_has_made_a_call(tmp_path: Path) -> None:
    def silent(connection: socket.socket) -> None:
        read_head(connection)
        connection.recv(1)

    with origin_of(silent) as upstream, worker(tmp_path, service("s", upstream.port, protocol="any")) as running:
        with Raw(running.port) as client:
            client.send(HANDSHAKE)
            until(lambda: running.counts().get("s", {}).get("ingress"), "it has come")
            assert counts(running) == (0, 0), "which it is nobody knows yet"
        until(lambda: counts(running) == (1, 0), "a call")


@pytest.mark.parametrize("upgrade", [b"h2c", b"WebSocket2", b"websocket, h2c"])
def test_another_upgrade_is_ignored(running: WorkerProcess, upgrade: bytes) -> None:
    """RFC 9110 7.8."""
    with Raw(running.port) as client:
        text = PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: " + upgrade + b"\r\n\r\n")
        assert client.send(text).answer()[2] == b"ok"
    assert counts(running) == (1, 0)


def test_a_handshake_has_no_content_and_other_requests_may(running: WorkerProcess) -> None:
    content = b"Content-Length: 2\r\n\r\nhi"
    with Raw(running.port) as client:
        text = b"POST /s/x HTTP/1.1\r\nHost: x\r\n" + UPGRADE + content
        assert client.send(text).answer()[0] == 400
    with Raw(running.port) as client:
        assert client.send(b"POST /s/x HTTP/1.1\r\nHost: x\r\n" + content).answer()[0] == 200


@pytest.mark.parametrize(
    "origin, status", [(APP, 101), ("https://evil.example", 403), (None, 101)], ids=["allowed", "another", "none"]
)
def test_a_page_of_another_origin_opens_no_tunnel(running: WorkerProcess, origin: str | None, status: int) -> None:
    field = b"" if origin is None else f"Origin: {origin}\r\n".encode()
    with Raw(running.port) as client:
        text = b"GET /ruled/x HTTP/1.1\r\nHost: x\r\n" + field + UPGRADE + b"\r\n"
        assert client.send(text).head()[0] == status
    with Raw(running.port) as client:
        plain = b"GET /ruled/x HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\n\r\n"
        assert client.send(plain).answer()[0] == 200, "a call's answer is kept from the page, by the browser"


def test_a_preflight_is_answered_here(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        text = f"OPTIONS /ruled/x HTTP/1.1\r\nHost: x\r\nOrigin: {APP}\r\nAccess-Control-Request-Method: GET\r\n\r\n"
        assert client.send(text.encode()).answer(to_head=True)[0] == 204
    assert counts(running, "ruled") == (1, 0)


def test_a_tunnel_stays_while_its_service_takes_one_and_ends_with_it(tmp_path: Path) -> None:
    instances = {"one": instance(), "two": instance()}
    with tunnelling() as upstream:
        made = service("s", upstream.port, protocol="any")
        with worker(tmp_path, made) as running, Raw(running.port) as client:
            assert client.send(HANDSHAKE).head()[0] == 101
            for protocol in ("any", "websocket", "any"):
                running.apply([made | {"protocol": protocol, "wait_ms_max": len(protocol)}], instances)
                assert client.send(b"still")._exactly(5) == b"still"
            running.apply([made | {"protocol": "http"}], instances)
            assert client.rest() == b""
            running.drain()
            assert counts(running) == (0, 1)


def test_the_log_has_one_line_for_each(running: WorkerProcess, tmp_path: Path) -> None:
    with Raw(running.port) as client:
        client.send(PLAIN).answer()
        client.send(HANDSHAKE).head()
    found = wait_for(tmp_path / "access.log", 2)
    assert [line["status"] for line in found] == [200, 101]
