"""Where a name has several addresses, or moves, connections follow it."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.proxy.resolver import REFRESH_AFTER_S, Addresses, Resolver
from tests.gateway.data_plane import service
from tests.gateway.proxy.in_process import Gateway, gateway, turns_until
from tests.gateway.proxy.origins import OK, Serve, answering, naming, origin_of, read_head
from tests.node import free_port

GET = b"GET /s/x HTTP/1.1\r\nHost: x\r\n\r\n"
V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)


class Names:
    def __init__(self, *hosts: str) -> None:
        self.now_s = 1000.0
        self.move(*hosts)
        self.resolver = Resolver(self.look_up, lambda: self.now_s)

    def move(self, *hosts: str) -> None:
        self.answer: Addresses = tuple((V6 if ":" in host else V4, host) for host in hosts)

    async def look_up(self, host: str) -> Addresses:
        return self.answer

    async def pass_time(self, made: Gateway) -> None:
        """So much as the next answer takes to come."""
        self.now_s += REFRESH_AFTER_S
        made.book.follow_names()
        await asyncio.sleep(0)
        made.book.follow_names()


def named(port: int, **upstream: Any) -> dict[str, Any]:
    targets = [{"url": f"http://orders.internal:{port}", "weight": 1, "network": "vpc"}]
    return service("s", 0, upstream={"targets": targets, "retries": 0, **upstream})


async def ask(made: Gateway) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
    writer.write(GET)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    content = await reader.readexactly(length)
    writer.close()
    assert head.startswith(b"HTTP/1.1 200 "), head
    return content


async def test_warm_connections_follow_a_name_that_moved(tmp_path: Path) -> None:
    names, port = Names("127.0.0.1"), free_port()
    with origin_of(naming("old"), "127.0.0.1", port) as old, origin_of(naming("new"), "127.0.0.2", port):
        async with gateway(tmp_path, named(port), resolver=names.resolver) as made:
            assert [await ask(made) for _ in range(3)] == [b"old"] * 3
            names.move("127.0.0.2")
            await names.pass_time(made)
            await turns_until(lambda: not old.connections)
            assert [await ask(made) for _ in range(3)] == [b"new"] * 3


async def test_what_is_under_way_is_finished_at_the_old_address(tmp_path: Path) -> None:
    names, port, asked = Names("127.0.0.1"), free_port(), []
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()

    def serve(connection: socket.socket) -> None:
        while read_head(connection):
            asked.append(1)
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(10)
            connection.sendall(OK)

    with origin_of(serve, "127.0.0.1", port) as old, origin_of(naming("new"), "127.0.0.2", port):
        async with gateway(tmp_path, named(port), resolver=names.resolver) as made:
            asking = asyncio.ensure_future(ask(made))
            await turns_until(lambda: bool(asked))
            names.move("127.0.0.2")
            await names.pass_time(made)
            assert await ask(made) == b"new"
            assert not asking.done()
            gate.set()
            assert await asking == b"ok"
            await turns_until(lambda: not old.connections)


@pytest.mark.parametrize("hosts", [("127.0.0.1", "127.0.0.2"), ("::1", "127.0.0.1")], ids=["IPv4", "both"])
async def test_new_connections_go_to_each_address_in_turn(tmp_path: Path, hosts: tuple[str, ...]) -> None:
    names, port = Names(*hosts), free_port()
    with ExitStack() as stack:
        for host in hosts:
            stack.enter_context(at(naming(host), host, port))
        async with gateway(tmp_path, named(port, connections_max=100), resolver=names.resolver) as made:
            found = Counter(await asyncio.gather(*(ask(made) for _ in range(20))))
            assert found == {host.encode(): 10 for host in hosts}


async def test_an_address_where_nobody_listens_is_no_failure_of_the_target(tmp_path: Path) -> None:
    names, port = Names("127.0.0.3", "127.0.0.1"), free_port()
    with origin_of(answering(), "127.0.0.1", port):
        async with gateway(tmp_path, named(port, pool_idle=0.0), resolver=names.resolver) as made:
            for _ in range(20):
                assert await ask(made) == b"ok"
            assert {one.failures for one in made.book._targets.values()} == {0}


def at(serve: Serve, host: str, port: int) -> Any:
    if ":" in host:
        try:
            socket.create_server((host, 0), family=V6).close()
        except OSError:
            pytest.skip("no IPv6 here")
    return origin_of(serve, host, port)
