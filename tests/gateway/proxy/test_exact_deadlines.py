"""No deadline is early; one under a second is some 20 ms late at the most, a longer one a sweep.

Each is timed from before what it begins with, several times, so that it falls anywhere between two sweeps. All of them
must be over; that machines are busy only ever makes them later, so that the least late one is looked at.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.proxy.core import SHORT_S, SHORT_SWEEP_INTERVAL_S, SWEEP_INTERVAL_S
from tests.gateway.data_plane import Raw, WorkerProcess, service, worker
from tests.gateway.proxy.in_process import gateway, turns_until
from tests.gateway.proxy.origins import OK, answering, origin_of, read_head
from tests.node import free_port, until

SHORT = 0.3
LONG = 1.2
NEVER = 30.0
TIMES = 3
ROUNDING_S = 0.001  # libuv's timers are whole milliseconds.
BUSY_S = 0.03  # What the least disturbed of them may take on a machine that does other things.
GET = b"GET /s/x HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = b"GET /s/x HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


class Silent:
    """An origin that answers each request with ``said``, and waits for the other side to close."""

    def __init__(self, said: bytes = b"", after_s: float = 0.0) -> None:
        self.said = said
        self.after_s = after_s
        self.asked = 0
        self.said_s = self.ended_s = 0.0
        self.has_ended = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while read_head(connection):
                self.asked += 1
                time.sleep(self.after_s)
                self.said_s = time.monotonic()
                connection.sendall(self.said)
        self.ended_s = time.monotonic()
        self.has_ended.set()


@contextmanager
def serving(
    folder: Path, port: int, limit_s: float, name: str, url: str = "", **changes: Any
) -> Iterator[WorkerProcess]:
    """A worker whose every deadline is out of reach, but for the one of that name."""
    timeouts = dict.fromkeys(("connect", "response", "idle"), NEVER)
    client = dict.fromkeys(("head_timeout", "body_timeout", "idle_timeout"), NEVER)
    upstream: dict[str, Any] = {"retries": 0, "timeouts": timeouts}
    if url:
        upstream["targets"] = [{"url": url, "weight": 1, "network": "vpc"}]
    for settings in (timeouts, client):
        if name in settings:
            settings[name] = limit_s
    if name == "pool_idle":
        upstream[name] = limit_s
    with worker(folder, service("s", port, upstream=upstream, **changes), **client) as running:
        yield running


def timed(port: int, data: bytes, end: Callable[[Raw], object]) -> float:
    began_s = time.monotonic()
    with Raw(port) as client:
        client.send(data)
        end(client)
        return time.monotonic() - began_s


def answered(status: int) -> Callable[[Raw], None]:
    def end(client: Raw) -> None:
        assert client.answer()[0] == status

    return end


def closed_after(*statuses: int) -> Callable[[Raw], None]:
    def end(client: Raw) -> None:
        for status in statuses:
            assert client.answer()[0] == status
        assert client.rest() == b""

    return end


def response(folder: Path, limit_s: float) -> Iterator[float]:
    with origin_of(Silent()) as origin, serving(folder, origin.port, limit_s, "response") as running:
        while True:
            yield timed(running.port, GET, answered(504))


def response_to_content(folder: Path, limit_s: float) -> Iterator[float]:
    post = b"POST /s/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok"
    with origin_of(Silent()) as origin, serving(folder, origin.port, limit_s, "response") as running:
        while True:
            yield timed(running.port, post, answered(504))


def idle(folder: Path, limit_s: float) -> Iterator[float]:
    serve = Silent(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    with origin_of(serve) as origin, serving(folder, origin.port, limit_s, "idle") as running:
        while True:
            serve.has_ended.clear()
            timed(running.port, GET, lambda client: client.rest())
            assert serve.has_ended.wait(5)
            yield serve.ended_s - serve.said_s


def tunnel(folder: Path, limit_s: float) -> Iterator[float]:
    with (
        origin_of(Silent(SWITCHED)) as origin,
        serving(folder, origin.port, limit_s, "idle", protocol="websocket") as running,
    ):
        while True:
            yield timed(running.port, UPGRADE, lambda client: client.rest())


def pool_idle(folder: Path, limit_s: float) -> Iterator[float]:
    serve = Silent(OK)
    with origin_of(serve) as origin, serving(folder, origin.port, limit_s, "pool_idle") as running:
        while True:
            serve.has_ended.clear()
            timed(running.port, GET, answered(200))
            assert serve.has_ended.wait(5)
            yield serve.ended_s - serve.said_s


def connect(folder: Path, limit_s: float) -> Iterator[float]:
    with (
        origin_of(Silent()) as origin,
        serving(folder, 1, limit_s, "connect", url=f"https://127.0.0.1:{origin.port}") as running,
    ):
        while True:
            yield timed(running.port, GET, answered(504))


def body_timeout(folder: Path, limit_s: float) -> Iterator[float]:
    half = b"POST /s/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"
    with origin_of(Silent()) as origin, serving(folder, origin.port, limit_s, "body_timeout") as running:
        while True:
            yield timed(running.port, half, answered(408))


def head_timeout(folder: Path, limit_s: float) -> Iterator[float]:
    with serving(folder, 1, limit_s, "head_timeout") as running:
        while True:
            yield timed(running.port, GET[:-2], answered(408))


def silence(folder: Path, limit_s: float) -> Iterator[float]:
    with serving(folder, 1, limit_s, "head_timeout") as running:
        while True:
            yield timed(running.port, b"", closed_after())


def idle_timeout(folder: Path, limit_s: float) -> Iterator[float]:
    with origin_of(answering()) as origin, serving(folder, origin.port, limit_s, "idle_timeout") as running:
        while True:
            yield timed(running.port, GET, closed_after(200))


def idle_timeout_after_a_refusal(folder: Path, limit_s: float) -> Iterator[float]:
    with serving(folder, 1, limit_s, "idle_timeout") as running:
        while True:
            yield timed(running.port, GET.replace(b"/s/", b"/-/"), closed_after(404))


def wait_for_capacity(folder: Path, limit_s: float) -> Iterator[float]:
    limited = {"limit": {"slot": 0, "qps": 1}, "wait_ms_max": int(limit_s * 1000)}
    with origin_of(answering()) as origin, serving(folder, origin.port, limit_s, "", **limited) as running:
        while True:
            with Raw(running.port) as client:
                client.send(GET).answer()
            with Raw(running.port) as client:
                began_s = time.monotonic()
                if client.send(GET).answer()[0] == 429:
                    yield time.monotonic() - began_s


def eject(folder: Path, limit_s: float) -> Iterator[float]:
    """From the last failure of five to when it is tried again."""
    with origin_of(answering()) as good:
        for number in count():
            port = free_port()
            place = folder / str(number)
            place.mkdir()
            targets = [{"url": f"http://127.0.0.1:{one}", "weight": 1, "network": "vpc"} for one in (port, good.port)]
            upstream = {"targets": targets, "retries": 0, "eject": limit_s}
            with worker(place, service("s", 1, upstream=upstream)) as running, Raw(running.port) as client:
                statuses = [200]
                while statuses.count(502) < 5:
                    began_s = time.monotonic()
                    statuses.append(client.send(GET).answer()[0])
                with origin_of(answering(), port=port) as back:
                    while not back.peers:
                        assert client.send(GET).answer()[0] == 200
                    yield time.monotonic() - began_s


Deadline = Callable[[Path, float], Iterator[float]]
SWEPT: list[Deadline] = [response, idle, pool_idle, body_timeout, idle_timeout]
ALL: list[Deadline] = [
    *SWEPT,
    response_to_content,
    tunnel,
    connect,
    head_timeout,
    silence,
    idle_timeout_after_a_refusal,
    wait_for_capacity,
    eject,
]


@pytest.mark.parametrize("deadline", ALL)
def test_a_short_deadline_is_never_early_and_hardly_late(tmp_path: Path, deadline: Deadline) -> None:
    times_out(deadline(tmp_path, SHORT), SHORT, SHORT_SWEEP_INTERVAL_S)


@pytest.mark.parametrize("deadline", SWEPT)
def test_a_long_deadline_is_never_early_and_a_sweep_late_at_the_most(tmp_path: Path, deadline: Deadline) -> None:
    assert SHORT < SHORT_S <= LONG
    times_out(deadline(tmp_path, LONG), LONG, SWEEP_INTERVAL_S)


def times_out(taken: Iterator[float], limit_s: float, late_s: float) -> None:
    found = [next(taken) for _ in range(TIMES)]
    taken.close()  # type: ignore[attr-defined]  (a generator)
    assert min(found) >= limit_s - ROUNDING_S, found
    assert min(found) <= limit_s + late_s + BUSY_S, found


@pytest.mark.parametrize("answers_after_s, status", [(SHORT - 0.1, 200), (SHORT + 0.1, 504)])
def test_an_answer_just_below_its_deadline_is_one_and_just_above_it_none(
    tmp_path: Path, answers_after_s: float, status: int
) -> None:
    """With answers after 150 ms and a deadline of 200 ms, half of them were a 504."""
    with (
        origin_of(Silent(OK, answers_after_s)) as origin,
        serving(tmp_path, origin.port, SHORT, "response") as running,
    ):
        clients = [Raw(running.port) for _ in range(20)]
        for client in clients:
            client.send(GET)
            time.sleep(0.013)  # spread over a sweep
        assert {client.answer()[0] for client in clients} == {status}
        for client in clients:
            client.close()


def test_what_came_in_time_is_in_time_though_the_worker_was_busy(tmp_path: Path) -> None:
    """The answer and the sweep fall due while somebody else is read for long: the sweep would be the first."""

    async def main() -> None:
        upstream = {"retries": 0, "timeouts": {"connect": 1.0, "response": SHORT, "idle": NEVER}}
        serve = Silent(OK, SHORT / 3)
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()

        def take_long() -> None:
            ours.recv(1)
            time.sleep(SHORT * 2)

        loop.add_reader(ours, take_long)
        with origin_of(serve) as origin, ours, theirs:
            async with gateway(tmp_path, service("s", origin.port, upstream=upstream)) as made:
                for number in range(1, 6):
                    reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
                    writer.write(GET)
                    await turns_until(lambda: serve.asked == number)  # noqa: B023
                    theirs.send(b"x")
                    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
                    writer.close()
            loop.remove_reader(ours)

    uvloop.run(main())


def test_a_drain_is_not_over_before_its_time(tmp_path: Path) -> None:
    with (
        origin_of(Silent()) as origin,
        worker(tmp_path, service("s", origin.port), drain_s=SHORT) as running,
        Raw(running.port) as client,
    ):
        client.send(GET)
        until(lambda: origin.connections, "the request is with the origin")
        began_s = time.monotonic()
        running.process.terminate()
        assert client.rest() == b""
        assert time.monotonic() - began_s >= SHORT
