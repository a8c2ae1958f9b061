"""Every deadline at a peer that stalls just there: connect, heads, contents, and the sides that stop reading.

Each test waits for the outcome; the deadlines are short, and none of them has to be met closely.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.proxy.downstream import LINGER_S
from tests.gateway.data_plane import Raw, WorkerProcess, instance, service, worker
from tests.gateway.proxy.origins import answering, origin_of, read_head, silent_after
from tests.node import until

SHORT = 0.4  # for what is to pass
FAIR = 1.0  # for what is not to pass, although one stalls now and then for STALL
STALL = 0.25
LONG = 30.0
GET = b"GET /s/x HTTP/1.1\r\nHost: x\r\n\r\n"
BODY_MAX = 64 << 20


@contextmanager
def serving(
    folder: Path, port: int, client: dict[str, float] | None = None, **timeouts: float
) -> Iterator[WorkerProcess]:
    """A worker whose deadlines are all long, but for those named."""
    times = {"connect": LONG, "response": LONG, "idle": LONG} | timeouts
    bounds = {"head_timeout": LONG, "body_timeout": LONG, "idle_timeout": LONG} | (client or {})
    upstream = {"timeouts": times, "retries": 0}
    with worker(folder, service("s", port, upstream=upstream), one=instance(body_max=BODY_MAX), **bounds) as running:
        yield running


def counted(running: WorkerProcess) -> dict[str, int]:
    return {name: value for name, value in running.counts().get("s", {}).items() if "error" in name or name == "calls"}


# Towards clients


def test_a_request_head_that_stalls_is_408(tmp_path: Path) -> None:
    with (
        origin_of(answering()) as origin,
        serving(tmp_path, origin.port, {"head_timeout": SHORT}) as running,
        Raw(running.port) as client,
    ):
        assert client.send(GET[:-3]).answer()[0] == 408


def test_a_head_that_trickles_is_408_all_the_same(tmp_path: Path) -> None:
    """From its first byte to its last: a byte now and then does not move it."""
    with (
        origin_of(answering()) as origin,
        serving(tmp_path, origin.port, {"head_timeout": SHORT}) as running,
        Raw(running.port) as client,
    ):
        client.send(GET[:-2])
        stop = threading.Event()

        def trickle() -> None:
            while not stop.wait(0.05):
                try:
                    client.send(b"X")
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            assert client.answer()[0] == 408
        finally:
            stop.set()
            thread.join()


def test_a_connection_that_says_nothing_or_no_more_is_closed_without_an_answer(tmp_path: Path) -> None:
    bounds = {"head_timeout": SHORT, "idle_timeout": SHORT}
    with origin_of(answering()) as origin, serving(tmp_path, origin.port, bounds) as running:
        with Raw(running.port) as silent:
            assert silent.rest() == b""
        with Raw(running.port) as client:
            assert client.send(GET).answer()[0] == 200
            assert client.rest() == b""
        assert counted(running) == {"calls": 1}


def test_request_content_that_stalls_is_408_and_no_call(tmp_path: Path) -> None:
    with (
        origin_of(silent_after(b"")) as origin,
        serving(tmp_path, origin.port, {"body_timeout": SHORT}) as running,
        Raw(running.port) as client,
    ):
        client.send(b"POST /s/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        assert client.answer()[0] == 408
        assert counted(running) == {"frontend_error:request_timeout": 1}
        until(lambda: not origin.connections, "the upstream's connection is closed")


def test_a_client_that_stops_reading_its_answer_is_let_go(tmp_path: Path) -> None:
    """`idle`: else it would hold a connection to the upstream for as long as it likes."""
    with (
        origin_of(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n" + bytes(50_000_000))) as origin,
        serving(tmp_path, origin.port, idle=SHORT) as running,
        Raw(running.port) as client,
    ):
        client.send(GET)
        until(lambda: origin.connections, "the answer is under way")
        until(lambda: not origin.connections, "the upstream's connection is closed")
        assert counted(running) == {"calls": 1}


def slow_client(running: WorkerProcess, stack: ExitStack) -> socket.socket:
    """A connection of which the kernel holds little, so that an answer that is not read waits in the worker."""
    running.send_bytes(32_768)
    client = stack.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    client.settimeout(20)
    client.connect(("127.0.0.1", running.port))
    client.sendall(b"GET /s/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    return client


def read_all(client: socket.socket) -> int:
    read = 0
    while data := client.recv(1 << 20):
        read += len(data)
    return read


def test_a_client_that_reads_slowly_gets_all_of_its_answer(tmp_path: Path) -> None:
    """It takes many times the deadline; what counts is that it reads."""
    size = 3_000_000
    with (
        origin_of(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))) as origin,
        serving(tmp_path, origin.port, idle=FAIR) as running,
        ExitStack() as stack,
    ):
        client, read = slow_client(running, stack), 0
        for _ in range(14):
            read += len(client.recv(16_384))
            threading.Event().wait(STALL)
        assert read + read_all(client) > size


def test_an_answer_that_ends_its_connection_is_not_cut_off_by_the_lingering(tmp_path: Path) -> None:
    """Nothing more is to come, and the client takes longer than LINGER_S over what there is."""
    size = 140_000  # Between what the kernel holds and where the upstream is paused.
    with (
        origin_of(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))) as origin,
        serving(tmp_path, origin.port) as running,
        ExitStack() as stack,
    ):
        client = slow_client(running, stack)
        threading.Event().wait(LINGER_S * 1.5)
        assert read_all(client) > size


def test_a_client_that_asks_on_without_reading_costs_no_memory(tmp_path: Path) -> None:
    """Pipelined requests whose answers nobody takes: no further one is read."""
    size = 200_000
    with (
        origin_of(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))) as origin,
        serving(tmp_path, origin.port) as running,
        Raw(running.port) as client,
    ):
        assert len(client.send(GET).answer()[2]) == size
        before = running.resident_kib()
        client.send(GET * 600)  # 120 MB of answers
        seen = [-1]

        def settled() -> bool:
            calls = counted(running)["calls"]
            is_settled = calls == seen[-1] and seen.count(calls) > 10
            seen.append(calls)
            return is_settled

        until(settled, "no further request is forwarded")
        assert seen[-1] < 200
        assert running.resident_kib() - before < 20_000
        for _ in range(600):
            assert len(client.answer()[2]) == size


# Towards upstreams


def test_a_handshake_that_stalls_is_a_connect_deadline(tmp_path: Path) -> None:
    def mute(connection: socket.socket) -> None:
        while connection.recv(65_536):
            pass

    with origin_of(mute) as origin:
        targets = [{"url": f"https://127.0.0.1:{origin.port}", "weight": 1, "network": "vpc"}]
        upstream: dict[str, Any] = {"targets": targets, "retries": 0}
        upstream["timeouts"] = {"connect": SHORT, "response": LONG, "idle": LONG}
        with worker(tmp_path, service("s", 0, upstream=upstream)) as running, Raw(running.port) as client:
            assert client.send(GET).answer()[0] == 504
            until(lambda: not origin.connections, "the connection is closed")


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="part of a head"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", id="only an interim one"),
    ],
)
def test_an_answer_head_that_stalls_is_504(tmp_path: Path, said: bytes) -> None:
    with (
        origin_of(silent_after(said)) as origin,
        serving(tmp_path, origin.port, response=SHORT) as running,
        Raw(running.port) as client,
    ):
        client.send(GET)
        status = client.answer(to_head=True)[0] if b"103" in said else 0
        assert status in (0, 103)
        assert client.answer()[0] == 504
        assert counted(running) == {"calls": 1, "backend_error:gateway_timeout": 1}


def test_the_wait_for_an_answer_begins_when_the_request_is_sent(tmp_path: Path) -> None:
    """An upload may take longer than `response`."""
    with (
        origin_of(_echo_length(b"12345678")) as origin,
        serving(tmp_path, origin.port, response=FAIR) as running,
        Raw(running.port) as client,
    ):
        client.send(b"POST /s/x HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n")
        for byte in b"12345678":
            client.send(bytes([byte]))
            threading.Event().wait(STALL)
        assert client.answer()[0] == 200


def _echo_length(content: bytes) -> Any:
    def serve(connection: socket.socket) -> None:
        data = read_head(connection)
        while not data.endswith(content):
            data += connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    return serve


@pytest.mark.parametrize(
    "framing",
    [
        pytest.param(b"Content-Length: 9\r\n\r\nhalf", id="of a length"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", id="in chunks"),
        pytest.param(b"\r\nhalf", id="until the close"),
    ],
)
def test_answer_content_that_stalls_is_cut_short_visibly(tmp_path: Path, framing: bytes) -> None:
    with (
        origin_of(silent_after(b"HTTP/1.1 200 OK\r\n" + framing)) as origin,
        serving(tmp_path, origin.port, idle=SHORT) as running,
        Raw(running.port) as client,
    ):
        assert client.send(GET).head()[0] == 200
        try:
            rest = client.rest()
        except ConnectionResetError:
            rest = b""
        assert not rest.endswith(b"0\r\n\r\n")
        assert counted(running) == {"calls": 1, "backend_error:gateway_timeout": 1}


def test_an_upstream_that_stops_taking_content_is_504(tmp_path: Path) -> None:
    stop = threading.Event()

    def deaf(connection: socket.socket) -> None:
        connection.recv(1000)
        stop.wait(60)

    with origin_of(deaf) as origin, serving(tmp_path, origin.port, idle=SHORT) as running, ExitStack() as stack:
        stack.callback(stop.set)
        origin.receive_bytes(16_384)
        client = stack.enter_context(Raw(running.port))
        before = running.resident_kib()
        sender = threading.Thread(target=_send_until_refused, args=(client,))
        sender.start()
        stack.callback(sender.join)
        until(lambda: counted(running) == {"calls": 1, "backend_error:gateway_timeout": 1}, "504 is counted")
        assert running.resident_kib() - before < 16_000  # of 64 MiB: what it did not take was not read
        stop.set()


def _send_until_refused(client: Raw) -> None:
    head = b"POST /s/x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % BODY_MAX
    try:
        # The first write upstream, of the head and what came with it, is more than it takes already.
        client.send(head + bytes(1 << 18))
        for _ in range((BODY_MAX >> 16) - 4):
            client.send(bytes(1 << 16))
    except OSError:
        pass


def test_an_upstream_that_takes_content_slowly_gets_all_of_it(tmp_path: Path) -> None:
    size = 6_000_000
    received = 0

    def slow(connection: socket.socket) -> None:
        nonlocal received
        pause = threading.Event()
        for _ in range(14):
            received += len(connection.recv(16_384))
            pause.wait(STALL)
        while received < size:
            received += len(connection.recv(1 << 20))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with (
        origin_of(slow) as origin,
        serving(tmp_path, origin.port, idle=FAIR, response=LONG) as running,
        Raw(running.port) as client,
    ):
        origin.receive_bytes(16_384)
        client.socket.settimeout(30)
        client.send(b"POST /s/x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        client.send(bytes(size))
        assert client.answer()[0] == 200


def test_a_tunnel_in_which_nothing_passes_is_closed(tmp_path: Path) -> None:
    def switch(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while data := connection.recv(65_536):
            connection.sendall(data)

    timeouts = {"connect": LONG, "response": LONG, "idle": FAIR}
    with origin_of(switch) as origin:
        live = service("s", origin.port, protocol="websocket", upstream={"timeouts": timeouts})
        with worker(tmp_path, live) as running, Raw(running.port) as client:
            client.send(b"GET /s/x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            assert client.head()[0] == 101
            for _ in range(10):  # Longer than `idle` in all, and never silent for as long.
                client.send(b"ping")
                assert client.file.read(4) == b"ping"
                threading.Event().wait(STALL)
            assert client.rest() == b""
            until(lambda: not origin.connections, "the upstream's side is closed too")
