"""A worker that is told to stop, and not to leave its place to another, waits for nobody who asks nothing."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest

from gateway.entry.tls import TlsSettings
from gateway.worker import STOP_GRACE_S
from tests.certificates import Authority
from tests.gateway.data_plane import Raw, WorkerProcess, service, worker
from tests.gateway.proxy.origins import OK, answering, origin_of, read_head
from tests.node import until

GET = b"GET /s/x HTTP/1.1\r\nHost: x\r\n\r\n"
STOP = {"do": "drain", "stop": True}
DRAIN_S = 30.0  # what is not waited for
SOON_S = STOP_GRACE_S + 3.0


@pytest.fixture
def running(tmp_path: Path) -> Iterator[WorkerProcess]:
    with (
        origin_of(answering()) as origin,
        worker(tmp_path, service("s", origin.port), drain_s=DRAIN_S, idle_timeout=60.0, head_timeout=60.0) as made,
    ):
        yield made


def test_connections_at_rest_are_closed_after_the_grace(running: WorkerProcess) -> None:
    with Raw(running.port) as client, Raw(running.port) as silent:
        assert client.send(GET).answer()[0] == 200
        began_s = time.monotonic()
        running.tell(STOP)
        assert client.rest() == b""
        assert time.monotonic() - began_s >= STOP_GRACE_S
        assert silent.rest() == b""
        assert running.process.wait(SOON_S) == 0


def test_a_request_within_the_grace_is_answered(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        assert client.send(GET).answer()[0] == 200
        running.tell(STOP)
        until(lambda: not accepts(running), "the worker accepts no more")
        status, fields, _ = client.send(GET).answer()
        assert (status, fields["connection"]) == (200, "close")
        assert running.process.wait(SOON_S) == 0


def test_an_exchange_under_way_goes_to_its_end(tmp_path: Path) -> None:
    let_on = threading.Event()

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        let_on.wait(10)
        connection.sendall(OK)

    with (
        origin_of(serve) as origin,
        worker(tmp_path, service("s", origin.port), drain_s=DRAIN_S) as running,
        Raw(running.port) as busy,
        Raw(running.port) as resting,
    ):
        busy.send(GET)
        until(lambda: origin.connections, "the request is with the origin")
        running.tell(STOP)
        assert resting.rest() == b""
        let_on.set()
        assert busy.answer()[0] == 200
        assert running.process.wait(SOON_S) == 0


def test_one_that_drains_already_hears_of_it(running: WorkerProcess) -> None:
    """A restart was under way when the node was stopped."""
    with Raw(running.port) as client:
        assert client.send(GET).answer()[0] == 200
        running.tell({"do": "drain"})
        until(lambda: not accepts(running), "the worker accepts no more")
        running.tell(STOP)
        assert client.rest() == b""
        assert running.process.wait(SOON_S) == 0


@pytest.mark.parametrize("by", ["message", "signal"])
def test_one_that_leaves_its_place_to_another_keeps_connections_at_rest(running: WorkerProcess, by: str) -> None:
    with Raw(running.port) as client:
        assert client.send(GET).answer()[0] == 200
        if by == "message":
            running.tell({"do": "drain"})
        else:
            running.process.send_signal(signal.SIGTERM)
        until(lambda: not accepts(running), "the worker accepts no more")
        client.socket.settimeout(STOP_GRACE_S + 0.5)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.socket.settimeout(10)
        assert b"\r\nConnection: close\r\n" in exchange(client.socket)
        assert running.process.wait(10) == 0


def test_handshakes_that_never_begin_are_not_waited_for(tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("server", "localhost")
    entry = {"tls": asdict(TlsSettings((pair.paths,)))}
    with (
        worker(tmp_path, service("s", 1), entry=entry, drain_s=DRAIN_S, head_timeout=60.0) as running,
        Raw(running.port) as silent,
    ):
        until(lambda: running.waiting() == 0, "it is accepted")
        running.tell(STOP)
        assert silent.rest() == b""
        assert running.process.wait(SOON_S) == 0


def exchange(connection: socket.socket) -> bytes:
    connection.sendall(GET)
    return connection.recv(65_536)


def accepts(running: WorkerProcess) -> bool:
    """Whether it has the listening socket; the test has one too, so nobody is refused."""
    inode = f"socket:[{running.listening_inode()}]"
    links = []
    for link in Path(f"/proc/{running.process.pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            links.append(link.readlink().name)
    return inode in links
