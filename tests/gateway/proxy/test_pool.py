"""Connections are shared by services of one instance that go to one address alike, and by nobody else (L8, L11)."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.proxy.core import ClientBounds, Core
from gateway.proxy.dialing import dial
from gateway.proxy.pool import Pool
from metering.clock import VirtualClock
from metering.meter import Meter
from tests.gateway.data_plane import Raw, instance, router_over, service, worker
from tests.gateway.proxy.origins import OK, Origin, answering, origin_of, read_head
from tests.node import until


def request(path: str) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode()


def ask(port: int, *paths: str) -> list[int]:
    """One after the other, each by a client of its own."""
    statuses = []
    for path in paths:
        with Raw(port) as client:
            statuses.append(client.send(request(path)).answer()[0])
    return statuses


def to(origin: Origin, id: str, *, instance: str = "one", url: str = "", **upstream: Any) -> dict[str, Any]:
    item = {"url": url or f"http://127.0.0.1:{origin.port}", "weight": 1, "network": upstream.pop("network", "vpc")}
    return service(id, 0, instance=instance, upstream={"targets": [item], **upstream})


def test_services_of_an_instance_share_them(tmp_path: Path) -> None:
    """Whatever the path below the address, and whatever else differs."""
    with origin_of(answering()) as origin:
        base = f"http://127.0.0.1:{origin.port}/base"
        with worker(tmp_path, to(origin, "a"), to(origin, "b", url=base, retries=0)) as running:
            assert ask(running.port, "/a/x", "/b/x", "/a/x", "/b/x") == [200] * 4
            assert len(origin.peers) == 1
            running.drain()
            counts = running.counts()
        assert (counts["a"]["calls"], counts["b"]["calls"]) == (2, 2)


@pytest.mark.parametrize(
    "difference",
    [{"instance": "two"}, {"network": "internet"}, {"pool_idle": 30.0}, {"url": "http://localhost:{port}"}],
)
def test_what_differs_shares_none(tmp_path: Path, difference: dict[str, Any]) -> None:
    with origin_of(answering()) as origin:
        if "url" in difference:
            difference = {"url": difference["url"].format(port=origin.port)}
        services = [to(origin, "a"), to(origin, "b", **difference)]
        with worker(tmp_path, *services, two=instance()) as running:
            assert ask(running.port, "/a/x", "/b/x", "/a/x", "/b/x") == [200] * 4
            assert len(origin.peers) == 2


def test_an_egress_address_is_of_its_own_instance_only(tmp_path: Path) -> None:
    """L11: an instance with one never sends from a connection of one without."""
    with origin_of(answering()) as origin:
        services = [to(origin, "a"), to(origin, "b", instance="two")]
        with worker(tmp_path, *services, two=instance(egress_ip="127.0.0.9")) as running:
            assert ask(running.port, "/a/x", "/b/x", "/a/x", "/b/x") == [200] * 4
            assert sorted(origin.peers) == ["127.0.0.1", "127.0.0.9"]


def test_a_bound_on_connections_is_each_services_own(tmp_path: Path) -> None:
    """What one service has under way takes none of another's, and what rests lets nobody go over it."""
    gate = threading.Event()
    waited: list[bytes] = []

    def held(connection: socket.socket) -> None:
        while head := read_head(connection):
            if b"/wait" in head:
                waited.append(head)
                gate.wait(20)
            connection.sendall(OK)

    with (
        origin_of(held) as origin,
        worker(tmp_path, to(origin, "big"), to(origin, "small", connections_max=1)) as running,
        ExitStack() as stack,
    ):
        waiting = [stack.enter_context(Raw(running.port)).send(request("/big/wait")) for _ in range(3)]
        until(lambda: len(waited) == 3, "all are under way")
        assert ask(running.port, "/small/x", "/big/x") == [200, 200]
        waiting.append(stack.enter_context(Raw(running.port)).send(request("/small/wait")))
        until(lambda: len(waited) == 4, "and its one")
        assert ask(running.port, "/big/x") == [200], "and leaves one at rest"
        assert ask(running.port, "/small/x") == [503]
        gate.set()
        assert [client.answer()[0] for client in waiting] == [200] * 4
        assert ask(running.port, "/small/x") == [200]


def test_it_stays_as_long_as_a_service_goes_there(tmp_path: Path) -> None:
    with origin_of(answering()) as origin, worker(tmp_path, to(origin, "a"), to(origin, "b")) as running:
        assert ask(running.port, "/a/x") == [200]
        running.apply([to(origin, "b"), to(origin, "c")], {"one": instance()})
        assert ask(running.port, "/b/x", "/c/x") == [200] * 2
        assert len(origin.peers) == 1
        running.apply([to(origin, "c", pool_idle=30.0)], {"one": instance()})
        until(lambda: not origin.connections, "nobody goes there alike any more", 5)
        assert ask(running.port, "/c/x") == [200]


def test_a_connection_is_of_the_pool_that_it_was_dialled_for(tmp_path: Path) -> None:
    """A snapshot may give the target another pool meanwhile: that one must not count a connection it never loses."""

    async def dialled(origin: Origin) -> None:
        meter = Meter(tmp_path, "test:pool:0", VirtualClock())
        core = Core(asyncio.get_running_loop(), meter, ClientBounds(), ())
        found = router_over(to(origin, "s")).find(b"x", b"/s")
        assert found is not None
        target = found.targets.targets[0]
        target.connections_max = 1
        before, after = target.pool, Pool(target.pool.peer._replace(idle_s=1.0), None)
        under_way = core.loop.create_task(dial(core, target, found))
        await asyncio.sleep(0)
        target.pool = after
        connection = await under_way
        counted = (len(before.connections), len(after.connections))
        connection.abort()
        for _ in range(50):  # turns of the loop, in which it closes
            await asyncio.sleep(0)
        assert counted == (1, 0)
        assert (len(before.connections), len(after.connections)) == (0, 0)

    with origin_of(answering()) as origin:
        uvloop.run(dialled(origin))
