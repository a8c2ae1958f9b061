"""Who holds a target's connections and does not move goes first when others want one (kind: exhaustion)."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.proxy.slow import SLOW_S, STALLED_S
from tests.gateway.data_plane import Raw, service, worker
from tests.gateway.proxy.test_turns import Origin, head_of
from tests.node import until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /few HTTP/1.1\r\nHost: a\r\n\r\n"
PATIENT: dict[str, Any] = {"body_timeout": 60.0, "idle_timeout": 60.0}


def served(connection: socket.socket) -> None:
    while True:
        data = head_of(connection)
        if data.startswith(b"GET /large"):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n" + bytes(50_000_000))
        elif data.startswith(b"POST"):
            while not data.endswith((b"END", b"0\r\n\r\n")):
                piece = connection.recv(65_536)
                if not piece:
                    return
                data += piece
            connection.sendall(OK)
        else:
            connection.sendall(OK)


def eventually_served(port: int) -> None:
    """A look at who is slow is not for each request."""

    def is_served() -> bool:
        with Raw(port) as other:
            return other.send(GET).answer()[0] == 200

    until(is_served, "others are served")


def test_slow_posts_do_not_keep_others_from_a_target(tmp_path: Path) -> None:
    """A byte each 20 s held all of its connections: 503 for everybody else, and those are billed."""
    origin = Origin(served)
    few = service("few", origin.port, upstream={"connections_max": 3})
    with worker(tmp_path, few, **PATIENT) as running, ExitStack() as held:
        slow = [held.enter_context(Raw(running.port)) for _ in range(3)]
        for one in slow:
            # More than has to come before a connection of the second half is had.
            one.send(b"POST /few HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + bytes(17_000))
        until(lambda: origin.connections == 3, "all are held")
        with Raw(running.port) as other:
            assert other.send(GET).answer()[0] == 503  # Nobody is slow yet.
        for _ in range(8):  # What is waited for is that time passes, by the worker's clock.
            time.sleep(0.3)
            for one in slow:
                one.send(b"x")
        eventually_served(running.port)
        assert {one.answer()[0] for one in slow} == {408}
        running.drain()
        assert running.counts()["few"]["frontend_error:request_timeout"] == 3
    origin.close()


def test_content_that_comes_quickly_is_let_be(tmp_path: Path) -> None:
    origin = Origin(served)
    few = service("few", origin.port, upstream={"connections_max": 1})
    with worker(tmp_path, few, **PATIENT) as running, Raw(running.port) as quick:
        quick.send(b"POST /few HTTP/1.1\r\nHost: a\r\nContent-Length: 12003\r\n\r\n")
        ends_s = time.monotonic() + SLOW_S + 1
        sent = 0
        while time.monotonic() < ends_s:
            if sent < 12_000:
                quick.send(bytes(400))
                sent += 400
            with Raw(running.port) as other:
                assert other.send(GET).answer()[0] == 503
            time.sleep(0.1)
        quick.send(bytes(12_000 - sent) + b"END")
        assert quick.answer()[0] == 200
    origin.close()


def test_answers_that_nobody_takes_do_not_keep_others_from_a_target(tmp_path: Path) -> None:
    origin = Origin(served)
    few = service("few", origin.port, strip_path=False, path="/", upstream={"connections_max": 2})
    with worker(tmp_path, few, **PATIENT) as running, ExitStack() as held:
        for _ in range(2):
            one = held.enter_context(Raw(running.port, receive_bytes=4096))
            one.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            one.head()
        time.sleep(STALLED_S + 0.5)
        eventually_served(running.port)
    origin.close()


def test_content_that_trickles_is_not_waited_for_without_end(tmp_path: Path) -> None:
    """Though nobody else wants anything: `body_timeout` is for nothing, and then there is a least rate."""
    origin = Origin(served)
    with worker(tmp_path, service("few", origin.port), body_timeout=1.0) as running, Raw(running.port) as slow:
        slow.send(b"POST /few HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        slow.socket.settimeout(0.3)
        began_s = time.monotonic()
        seen = b""
        while not seen and time.monotonic() < began_s + 15:
            slow.send(b"x")  # Each is progress.
            try:
                seen = slow.socket.recv(100)
            except TimeoutError:
                continue
        assert seen.startswith(b"HTTP/1.1 408")
        assert 1.0 <= time.monotonic() - began_s < 10
    origin.close()


@pytest.mark.parametrize("fields", [b"Content-Length: 1000\r\n", b"Transfer-Encoding: chunked\r\n"])
@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
def test_drips_that_come_again_and_again_hold_half_of_a_target_at_the_most(
    tmp_path: Path, fields: bytes, expect: bytes
) -> None:
    """Let go after a second, they came again at once: others found no room in 12 of 20."""
    origin = Origin(served)
    few = service("few", origin.port, upstream={"connections_max": 4})
    drip = b"POST /few HTTP/1.1\r\nHost: a\r\n" + fields + expect + b"\r\n" + (b"" if expect else b"1")
    with worker(tmp_path, few, **PATIENT) as running, ExitStack() as held:
        for _ in range(8):
            held.enter_context(Raw(running.port)).send(drip)
        until(lambda: origin.connections >= 2, "half is held")
        for _ in range(20):
            with Raw(running.port) as other:
                assert other.send(GET).answer()[0] == 200
    origin.close()


@pytest.mark.parametrize("size", [1, 3, 1000, 20_000, 100_000])
def test_content_reaches_a_target_that_is_half_full_whole(tmp_path: Path, size: int) -> None:
    origin = Origin(served)
    few = service("few", origin.port, upstream={"connections_max": 4})
    content = bytes(size) + b"END"
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in content) + b"0\r\n\r\n"
    with worker(tmp_path, few, **PATIENT) as running, ExitStack() as held:
        for _ in range(2):
            held.enter_context(Raw(running.port)).send(
                b"POST /few HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n" + bytes(4000)
            )
        until(lambda: origin.connections == 2, "half is held")
        with Raw(running.port) as client:
            head = b"POST /few HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(content)
            assert client.send(head + content).answer()[0] == 200
            client.send(b"POST /few HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
            assert client.answer()[0] == 200
            assert client.send(GET).answer()[0] == 200
        running.drain()
        assert running.counts()["few"]["calls"] >= 3
    origin.close()
