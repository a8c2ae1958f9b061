"""Connections retire a little before the upstream closes them: by what it says, no request is lost."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.http.keep_alive import keep_alive
from gateway.proxy.allowance import MARGIN_S, Allowance
from tests.gateway.data_plane import Raw, service, worker
from tests.gateway.proxy.origins import origin_of

POST = b"POST /s/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    "said, idle_s, rests_s",
    [
        pytest.param([b"timeout=5"], 60.0, [5 - MARGIN_S], id="so long"),
        pytest.param([b"timeout=100"], 60.0, [60.0], id="no longer than we say"),
        pytest.param([b"timeout=0"], 60.0, [-MARGIN_S], id="not at all"),
        pytest.param([b"max=3", b"max=2", b"max=1"], 60.0, [60.0, 60.0, 0.0], id="so many, counted down"),
        pytest.param([b"max=3", b"max=3", b"max=3"], 60.0, [60.0, 60.0, 0.0], id="so many, of all"),
        pytest.param([b"max=0"], 60.0, [0.0], id="none"),
    ],
)
def test_how_long_a_connection_rests(said: list[bytes], idle_s: float, rests_s: list[float]) -> None:
    allowance = Allowance()
    assert [allowance.rest_s(keep_alive(value), idle_s) for value in said] == rests_s


def closing_after(
    timeout_s: float | None, requests: int, field: Callable[[int], bytes]
) -> Callable[[socket.socket], None]:
    """Takes so many requests of a connection, waits so long for each, and says as much by ``field`` of their number."""

    def serve(connection: socket.socket) -> None:
        connection.settimeout(timeout_s)
        for number in range(requests):
            data = b""
            while not data.endswith(b"\r\n\r\nok"):
                more = connection.recv(65_536)
                if not more:
                    return
                data += more
            connection.sendall(b"HTTP/1.1 200 OK\r\nKeep-Alive: %b\r\nContent-Length: 0\r\n\r\n" % field(number))

    return serve


def test_a_post_each_time_the_upstream_closes_is_never_lost(tmp_path: Path) -> None:
    with (
        origin_of(closing_after(1.0, 1000, lambda _: b"timeout=1")) as origin,
        worker(tmp_path, service("s", origin.port, upstream={"retries": 0})) as running,
        Raw(running.port) as client,
    ):
        for number in range(24):
            assert client.send(POST).answer()[0] == 200
            time.sleep(0.85 + 0.0125 * number)  # around that second
        assert len(origin.peers) > 1


@pytest.mark.parametrize("field", [lambda _: b"max=5", lambda number: b"max=%d" % (5 - number)], ids=["all", "left"])
def test_no_more_posts_than_the_upstream_takes(tmp_path: Path, field: Callable[[int], bytes]) -> None:
    with (
        origin_of(closing_after(None, 5, field)) as origin,
        worker(tmp_path, service("s", origin.port, upstream={"retries": 0})) as running,
        Raw(running.port) as client,
    ):
        for _ in range(30):
            assert client.send(POST).answer()[0] == 200
        assert len(origin.peers) == 6
