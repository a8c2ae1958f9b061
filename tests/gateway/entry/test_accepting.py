"""Connections that come faster than the loop turns: all are taken, counted and let go of as any other."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.entry.entry import Entry
from gateway.entry.tls import TlsSettings
from gateway.proxy.core import ClientBounds, Core
from metering.clock import VirtualClock
from metering.meter import Meter
from metering.tcp_info import IPV4_HEADERS_BYTES, IS_MEASURED
from tests.certificates import Authority
from tests.gateway.data_plane import Raw, WorkerProcess, queued, service, worker
from tests.gateway.entry.test_entry import listening
from tests.gateway.entry.test_proxy_protocol import TCP4, header
from tests.gateway.proxy.test_wire import received
from tests.node import origin, until

HOST = "api.example.com"
FROM_203 = header(0x21, 0x11, TCP4)
# More than the loop accepts by itself before the entry looks for those that wait.
MANY = 600
TAKEN = 20  # The first to come are the loop's own; these, the last, are those that the entry took.
PATIENT = {"head_timeout": 30.0, "idle_timeout": 60.0}  # All but one are at rest, for as long as the others take.
REQUEST = b"GET /open/bytes/3 HTTP/1.1\r\nHost: api.example.com\r\n\r\n"


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with origin() as port:
        yield port


class Busy:
    """A loop whose turns are long, as with thousands of clients that ask all the time."""

    def __enter__(self) -> Busy:
        self.turns = 0
        self._is_over = False
        self._turn()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True

    def _turn(self) -> None:
        if not self._is_over:
            self.turns += 1
            time.sleep(0.02)
            asyncio.get_running_loop().call_soon(self._turn)


async def turns_until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(8):  # less than a reader waits for its header
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0)


@pytest.mark.parametrize("kind", [{}, {"proxy_protocol": True}], ids=["plain", "proxied"])
def test_who_comes_new_does_not_wait_for_a_turn_of_the_loop_each(tmp_path: Path, kind: dict[str, Any]) -> None:
    with ExitStack() as held, socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        clients = [held.enter_context(socket.create_connection(listener.getsockname())) for _ in range(200)]
        assert queued(listener) == len(clients)

        async def accept() -> int:
            core = Core(asyncio.get_running_loop(), Meter(tmp_path, "node:w", VirtualClock()), ClientBounds(), ())
            entry = Entry(core, {"fd": listener.detach(), "network": "internet", "tls": None} | kind)
            try:
                with Busy() as busy:
                    await entry.open()
                    taken = entry._readers if kind else core.clients
                    await turns_until(lambda: len(taken) == len(clients))
                sockets = [client.transport.get_extra_info("socket") for client in core.clients]
                assert all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in sockets)
            finally:
                entry.close()  # Of readers it closes those that have read nothing, and that have no connection yet.
                for one in list(core.clients):
                    one.transport.abort()
                await turns_until(lambda: not core.clients and entry.is_at_rest)
                core.meter.close()
            return busy.turns

        assert uvloop.run(accept()) < len(clients) / 10


def connected_while_it_stood(running: WorkerProcess, held: ExitStack, first: bytes = b"") -> list[Raw]:
    """They wait all together when the worker goes on."""
    running.process.send_signal(signal.SIGSTOP)
    clients = [held.enter_context(Raw(running.port, first)) for _ in range(MANY)]
    until(lambda: running.waiting() == MANY, "all wait")
    running.process.send_signal(signal.SIGCONT)
    return clients


@pytest.mark.skipif(not IS_MEASURED, reason="the kernel has no TCP_INFO with bytes sent")
@pytest.mark.parametrize(
    "entry, first",
    [({}, b""), ({"proxy_protocol": True, "proxy_protocol_from": []}, FROM_203)],
    ids=["plain", "proxied"],
)
def test_all_that_came_at_once_are_served_and_metered(
    tmp_path: Path, upstream: int, entry: dict[str, Any], first: bytes
) -> None:
    with worker(tmp_path, service("open", upstream), entry=entry, **PATIENT) as running, ExitStack() as held:
        clients = connected_while_it_stood(running, held, first)
        for _ in range(2):
            for client in clients:
                assert client.send(REQUEST).answer()[2] == b"xxx"
        read_bytes = sum(client.bytes_read for client in clients)
        received_bytes = sum(received(client.socket) for client in clients)
        held.close()
        assert running.drain() == 0
        counts = running.counts()["open"]
        assert counts["calls"] == 2 * MANY
        assert counts["egress:client:internet:application"] == read_bytes
        # The end of a connection that was seen at rest is nobody's.
        wire_bytes = sum(of.get("egress:client:internet:wire", 0) for of in running.counts().values())
        # Segments that carry nothing are counted at one end only: the handshake's, the last ones.
        assert wire_bytes == pytest.approx(received_bytes, abs=2 * MANY * IPV4_HEADERS_BYTES)


def begin_tls(client: Raw, authority: Authority, held: ExitStack) -> None:
    client.socket = held.enter_context(authority.client_context().wrap_socket(client.socket, server_hostname=HOST))
    client.file = client.socket.makefile("rb")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def encrypted(authority: Authority) -> dict[str, Any]:
    """An entry with TLS."""
    return {"tls": asdict(TlsSettings((authority.issue("server", HOST).paths,)))}


def test_all_that_came_at_once_are_served_over_tls(
    tmp_path: Path, upstream: int, authority: Authority, encrypted: dict[str, Any]
) -> None:
    with (
        worker(tmp_path, service("open", upstream), entry=encrypted, **PATIENT) as running,
        ExitStack() as held,
    ):
        clients = connected_while_it_stood(running, held)
        for client in clients[-TAKEN:]:
            begin_tls(client, authority, held)
            assert client.send(REQUEST).answer()[2] == b"xxx"
        for client in clients[0], clients[-TAKEN - 1]:
            assert client.send(REQUEST).answer()[0] == 400, "that is no handshake"
        held.close()
        assert running.drain() == 0
        assert running.counts()["open"]["calls"] == TAKEN


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["clients", "handshakes"])
def test_a_drain_waits_for_those_that_came_at_once(
    tmp_path: Path, upstream: int, authority: Authority, encrypted: dict[str, Any], is_encrypted: bool
) -> None:
    entry = encrypted if is_encrypted else {}
    with worker(tmp_path, service("open", upstream), entry=entry, **PATIENT) as running, ExitStack() as held:
        clients = connected_while_it_stood(running, held)
        if not is_encrypted:
            for client in clients:
                assert client.send(REQUEST).answer()[2] == b"xxx"
        for client in clients[:-TAKEN]:
            client.close()
        until(lambda: running.waiting() == 0, "nobody waits any more")
        running.process.send_signal(signal.SIGTERM)
        until(lambda: listening(running) == 0, "the worker accepts no more")
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(0.5)  # Had it forgotten them, it would end at once.
        for client in clients[-TAKEN:]:
            if is_encrypted:
                begin_tls(client, authority, held)
            status, fields, content = client.send(REQUEST).answer()
            assert (status, fields["connection"], content) == (200, "close", b"xxx")
        held.close()
        assert running.process.wait(10) == 0
