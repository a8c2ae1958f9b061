"""A request that the upstream closes on is sent once more at the most: within `retries`, on a connection of its own."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.gateway.data_plane import Raw, service, worker
from tests.gateway.proxy.test_turns import Origin, head_of

RESTING = 20
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Closing:
    """Answers `/ok`, all together once there are so many; closes on all else without an answer."""

    def __init__(self) -> None:
        self.together = threading.Barrier(RESTING)
        self.seen: list[bool] = []  # of those that were closed on, whether the connection had answered before

    def __call__(self, connection: socket.socket) -> None:
        has_answered = False
        while head_of(connection).split(b" ")[1] == b"/ok":
            self.together.wait(10)
            connection.sendall(OK)
            has_answered = True
        self.seen.append(has_answered)


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE", b"POST"])
@pytest.mark.parametrize("retries", [0, 1, 3])
def test_each_resting_connection_is_not_tried_in_turn(tmp_path: Path, method: bytes, retries: int) -> None:
    """It was sent again on each of them: 162 times with `retries: 0`."""
    upstream = Closing()
    origin = Origin(upstream)
    with worker(tmp_path, service("a", origin.port, upstream={"retries": retries})) as running, ExitStack() as held:
        clients = [held.enter_context(Raw(running.port)) for _ in range(RESTING)]
        for client in clients:
            client.send(b"GET /a/ok HTTP/1.1\r\nHost: a\r\n\r\n")
        assert {client.answer()[0] for client in clients} == {200}
        with Raw(running.port) as one:
            assert one.send(method + b" /a/close HTTP/1.1\r\nHost: a\r\n\r\n").answer()[0] == 502
    origin.close()
    # The first is one that was at rest; each repeat is on a new one.
    assert upstream.seen == [True] + [False] * (0 if method == b"POST" else retries)
