"""Handshakes take their turns: a flood of ClientHellos is a millisecond of each turn of the loop, and not all of it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import uvloop

from gateway.entry import handshakes
from gateway.proxy.core import ClientBounds
from tests.certificates import Authority
from tests.gateway.entry.test_entry import HOST, entry
from tests.gateway.proxy.in_process import Turns, gateway, turns_until

MANY = 40


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
