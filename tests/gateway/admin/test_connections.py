"""Connections that say nothing, or take their time: they end, and what the control process does beside them goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from gateway.admin import connections
from gateway.admin.app import AdminServer, make_app
from gateway.admin.connections import OF_CLIENT_MAX
from gateway.admin.watch import Watch
from tests.gateway.admin.desk import TOKEN, DeskNode
from tests.gateway.control.configuration import config_text
from tests.node import Node, free_port, node, origin, until

DESCRIPTORS = 300
HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


@contextmanager
def crowd(port: int, number: int, said: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connections that say this much, and stay."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(number):
            # What does not fit into the queue is tried again by the kernel.
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            one.sendall(said)
            found.append(one)
        yield found


def metric(running: Node, name: str, **labels: str) -> float:
    _, text = running.call("GET", "/metrics")
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


def test_hundreds_of_silent_connections_hold_up_nothing_of_the_nodes_own(tmp_path: Path) -> None:
    """Under 300 descriptors: counters are collected, hours settled, a killed worker restarted, questions answered."""
    ports = {name: free_port() for name in ("shared", "dedicated", "admin")}
    with origin() as origin_port:
        text = config_text(**ports, origin=origin_port, rate=3600)
        with node(tmp_path, text, ports["admin"], prepare=few_descriptors) as running, crowd(ports["admin"], 500):
            asked = time.monotonic()
            assert running.call("GET", "/healthz")[0] == 200
            assert time.monotonic() - asked < 5
            before = sum(row["calls"] for row in running.call("GET", "/v1/usage")[1]["items"])
            for _ in range(5):
                with urlopen(f"http://127.0.0.1:{ports['shared']}/orders/bytes/1", timeout=5):
                    pass

            def are_counted() -> bool:
                rows = running.call("GET", "/v1/usage")[1]["items"]
                return sum(row["calls"] for row in rows) >= before + 5

            until(are_counted, "calls are collected")
            until(lambda: running.call("GET", "/v1/settlements")[1]["items"], "an hour is settled")
            victim = running.worker_pids("shared")[0]
            os.kill(victim, signal.SIGKILL)

            def is_replaced() -> bool:
                now = running.worker_pids("shared")
                return len(now) == 2 and victim not in now

            until(is_replaced, "the killed worker is restarted")
            assert running.call("GET", "/readyz")[0] == 200
            assert metric(running, "tollgate_admin_connections") <= min(OF_CLIENT_MAX, DESCRIPTORS / 8)
            assert metric(running, "tollgate_admin_connections_refused_total", reason="client") >= 400
            assert metric(running, "tollgate_store_failures_total") == 0
            log = running.log.read_text()
            assert log.count("connections to the admin API were closed") <= 2
            assert "Too many open files" not in log


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[int, Watch]]:
    desk, watch = DeskNode(tmp_path), Watch()
    running = AdminServer(make_app(desk, TOKEN, watch=watch))
    url = await running.start("127.0.0.1", 0)
    yield int(url.rpartition(":")[2]), watch
    await running.stop()
    desk.close()


@pytest.mark.parametrize(
    ("said", "bound"),
    [
        pytest.param(b"", "HEAD_TIMEOUT_S", id="nothing"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: 127", "HEAD_TIMEOUT_S", id="half a head"),
        pytest.param(HEAD, "NEXT_TIMEOUT_S", id="nothing after an answer"),
        pytest.param(HEAD + b"GET /", "NEXT_TIMEOUT_S", id="half of the next head"),
        pytest.param(HEAD.replace(b"healthz", b"metrics") * 3, "NEXT_TIMEOUT_S", id="several at once, then nothing"),
    ],
)
async def test_a_connection_that_takes_its_time_is_closed(
    server: tuple[int, Watch], monkeypatch: pytest.MonkeyPatch, said: bytes, bound: str
) -> None:
    monkeypatch.setattr(connections, bound, 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", server[0])
    writer.write(said)
    with contextlib.suppress(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert server[1]._connections.counts == {"deadline": 1}
    assert server[1].connections() == 0


async def test_content_that_does_not_come_is_not_waited_for(
    server: tuple[int, Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONTENT_TIMEOUT_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", server[0])
    writer.write(
        b"POST /v1/services HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %b\r\nContent-Length: 99\r\n\r\n{"
        % TOKEN.encode()
    )
    answer = await asyncio.wait_for(reader.read(), 10)
    assert answer.startswith(b"HTTP/1.1 408 ") and b"problem+json" in answer
    writer.close()


async def test_the_longest_silent_gives_way_and_one_that_is_being_answered_stays(
    server: tuple[int, Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, watch = server
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(OF_CLIENT_MAX)]
    # The first becomes the youngest: it has asked, and was answered.
    silent[0][1].write(HEAD)
    await silent[0][0].readuntil(b"}")
    newest = await asyncio.open_connection("127.0.0.1", port)
    newest[1].write(HEAD)
    assert (await newest[0].readline()).startswith(b"HTTP/1.1 200 ")
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(silent[1][0].read(), 5) == b""
    silent[0][1].write(HEAD)
    assert b"200" in await asyncio.wait_for(silent[0][0].readline(), 5)
    assert watch._connections.counts == {"client": 1}
    for _, writer in [*silent, newest]:
        writer.close()


async def test_where_all_are_being_answered_a_new_one_is_refused(tmp_path: Path) -> None:
    """Two in all, of 8 descriptors."""
    watch, go = Watch(), asyncio.Event()
    desk = DeskNode(tmp_path)
    app = make_app(desk, TOKEN, watch=watch, descriptors=8)
    under_way = asyncio.Semaphore(0)

    async def slow(request: web.Request) -> web.Response:
        under_way.release()
        await go.wait()
        return web.Response()

    app.router.add_get("/console/static/slow/now", slow)
    running = AdminServer(app)
    port = int((await running.start("127.0.0.1", 0)).rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD.replace(b"/healthz", b"/console/static/slow/now"))
    await asyncio.wait_for(under_way.acquire(), 5)
    other, unanswered = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(other.read(), 5) == b""
    go.set()
    assert b"200" in await asyncio.wait_for(reader.readline(), 5)
    assert watch._connections.counts == {"client": 1}
    writer.close()
    unanswered.close()
    await running.stop()
    desk.close()
