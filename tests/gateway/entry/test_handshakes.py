"""Handshakes take their turns: a flood of ClientHellos is a millisecond of each turn of the loop, and not all of it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

from gateway.entry import handshakes
from gateway.entry.entry import Entry
from gateway.proxy.core import ClientBounds
from tests.certificates import Authority
from tests.gateway.entry.test_entry import HOST, entry
from tests.gateway.entry.test_proxy_protocol import header
from tests.gateway.proxy.in_process import Gateway, Turns, gateway, turns_until

MANY = 40
LOCAL = header(0x20, 0, b"")  # of the PROXY protocol


def hello(context: ssl.SSLContext) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def test_handshakes_that_come_together_begin_one_in_a_turn(tmp_path: Path) -> None:
    """512 began in one turn: everybody else's p50 was 640 ms."""
    authority = Authority(tmp_path)
    tls = entry(authority.issue("server", HOST))["tls"]
    text = hello(authority.client_context())

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with gateway(tmp_path, tls=tls) as running:
            begun = 0
            begin = running.entry._handshakes._begin

            def counted(connection: socket.socket, left_s: float) -> None:
                nonlocal begun
                begun += 1
                begin(connection, left_s)

            running.entry._handshakes._begin = counted
            sockets = []
            for _ in range(MANY):
                one = socket.socket()
                one.setblocking(False)
                await loop.sock_connect(one, ("127.0.0.1", running.port))
                sockets.append(one)
            await turns_until(lambda: len(running.entry._handshakes) == MANY)
            with Turns(lambda: begun) as turns:
                for one in sockets:
                    one.send(text)
                await turns_until(lambda: begun == MANY)
            assert turns.most == handshakes.TOGETHER_MAX == 1
            for one in sockets:
                assert await loop.sock_recv(one, 100)  # a ServerHello
                one.close()

    uvloop.run(main())


def test_the_silent_are_let_go_in_time_and_those_that_left_get_no_handshake(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = entry(authority.issue("server", HOST))["tls"]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with gateway(tmp_path, bounds=ClientBounds(head_timeout_s=0.4), tls=tls) as running:
            begun = 0

            def counted(connection: socket.socket, left_s: float) -> None:
                nonlocal begun
                begun += 1
                connection.close()

            running.entry._handshakes._begin = counted
            gone, silent = socket.socket(), socket.socket()
            for one in (gone, silent):
                one.setblocking(False)
                await loop.sock_connect(one, ("127.0.0.1", running.port))
            await turns_until(lambda: len(running.entry._handshakes) == 2)
            began_s = loop.time()
            gone.close()
            await turns_until(lambda: len(running.entry._handshakes) == 1)
            assert await loop.sock_recv(silent, 1) == b""
            assert 0.3 < loop.time() - began_s < 5
            assert begun == 0
            silent.close()

    uvloop.run(main())


async def proxied(running: Gateway, tls: dict[str, object]) -> tuple[Entry, int]:
    """Another entry over the same core, behind the PROXY protocol, and its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    port = listener.getsockname()[1]
    behind = Entry(running.core, {"fd": listener.detach(), "network": "internet", "tls": tls, "proxy_protocol": True})
    await behind.open()
    return behind, port


@pytest.mark.parametrize("is_proxied", [False, True])
@pytest.mark.parametrize("cut", [1, 5, 200])
def test_handshakes_begin_when_their_hello_is_whole(tmp_path: Path, cut: int, is_proxied: bool) -> None:
    """300 that had begun with a byte, and whose other bytes came together, were a turn of 85 ms, and behind the PROXY
    protocol all were begun at once."""
    authority = Authority(tmp_path)
    tls = entry(authority.issue("server", HOST))["tls"]
    text = hello(authority.client_context())
    before = LOCAL if is_proxied else b""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with gateway(tmp_path, tls=tls) as running:
            of, port = (await proxied(running, tls)) if is_proxied else (running.entry, running.port)
            begun = 0
            begin = of._handshakes._begin

            def counted(connection: socket.socket, left_s: float) -> None:
                nonlocal begun
                begun += 1
                begin(connection, left_s)

            of._handshakes._begin = counted
            sockets = []
            for _ in range(MANY):
                one = socket.socket()
                one.setblocking(False)
                await loop.sock_connect(one, ("127.0.0.1", port))
                one.send(before + text[:cut])
                sockets.append(one)
            await turns_until(lambda: len(of._handshakes) == MANY)
            await asyncio.sleep(0.05)
            assert begun == 0
            assert len(of._handshakes) == MANY
            with Turns(lambda: begun) as turns:
                for one in sockets:
                    one.send(text[cut:])
                await turns_until(lambda: begun == MANY)
            assert turns.most == handshakes.TOGETHER_MAX == 1
            for one in sockets:
                assert await loop.sock_recv(one, 100)  # a ServerHello
                one.close()
            of.close()
            await turns_until(lambda: of.is_at_rest)

    uvloop.run(main())


def test_who_leaves_within_its_hello_is_let_go_of_at_once(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = entry(authority.issue("server", HOST))["tls"]
    text = hello(authority.client_context())

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with gateway(tmp_path, tls=tls) as running:
            behind, port = await proxied(running, tls)
            for of, at, before in ((running.entry, running.port, b""), (behind, port, LOCAL)):
                one = socket.socket()
                one.setblocking(False)
                await loop.sock_connect(one, ("127.0.0.1", at))
                one.send(before + text[:100])
                await turns_until(lambda of=of: len(of._handshakes) == 1)  # type: ignore[misc]
                one.shutdown(socket.SHUT_WR)
                await turns_until(lambda of=of: of._handshakes._silent == {}, 2)  # type: ignore[misc]
                with suppress(ConnectionResetError):
                    assert await loop.sock_recv(one, 1) == b""
                one.close()
            behind.close()
            await turns_until(lambda: behind.is_at_rest)

    uvloop.run(main())
