"""Every pause has an end: whoever is not read from, or does not read, goes on or is let go of."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.http.chunked import CHUNKS_TOGETHER_MAX
from gateway.proxy.paced import PIPELINED_BYTES_MAX
from metering.cells import CALLS
from tests.gateway.data_plane import service
from tests.gateway.proxy.in_process import Gateway, turns_until
from tests.gateway.proxy.test_turns import Origin, connected, head_of, run

UPGRADE = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
LARGE = 64 << 20


def test_a_tunnel_is_read_on_whatever_came_before_it_stood(tmp_path: Path) -> None:
    """What was too much to be kept had stopped the reading, and nobody began it again."""
    early, late = b"e" * (2 * PIPELINED_BYTES_MAX), b"late"
    is_early_sent = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        head_of(connection)
        is_early_sent.wait(10)
        connection.sendall(SWITCHED)
        left = len(early) + len(late)
        while left:
            left -= len(connection.recv(1 << 16))
        connection.sendall(b"all of it")

    async def test(running: Gateway) -> None:
        reader, writer = await connected(running.port)
        writer.write(UPGRADE)
        await turns_until(lambda: len(running.core.clients) == 1)
        (connection,) = running.core.clients
        writer.write(early)
        await turns_until(lambda: connection._is_read_paused)
        is_early_sent.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        await turns_until(lambda: not connection._buffer)
        writer.write(late)
        assert await asyncio.wait_for(reader.readexactly(9), 5) == b"all of it"

    origin = Origin(serve)
    try:
        run(tmp_path, test, service("ws", origin.port, protocol="websocket"))
    finally:
        origin.close()


@pytest.fixture
def pouring() -> Iterator[Origin]:
    """Answers at once with more than any buffer holds, and reads on all the while."""

    def serve(connection: socket.socket) -> None:
        head_of(connection)
        threading.Thread(target=drain, args=(connection,), daemon=True).start()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
        connection.sendall(bytes(LARGE))

    def drain(connection: socket.socket) -> None:
        try:
            while connection.recv(1 << 16):
                pass
        except OSError:
            return

    origin = Origin(serve)
    yield origin
    origin.close()


@pytest.mark.parametrize(
    "begins, more",
    [
        pytest.param(
            b"GET /s HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /s HTTP/1.1\r\nHost: a\r\n\r\n" * (PIPELINED_BYTES_MAX // 20),
            id="more requests than are kept",
        ),
        pytest.param(
            b"POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
            b" done",
            id="the rest of its content",
        ),
    ],
)
def test_who_does_not_read_is_let_go_of_whatever_it_sends_meanwhile(
    tmp_path: Path, pouring: Origin, begins: bytes, more: bytes
) -> None:
    """Its deadline was taken back by what it sent: client and upstream stayed for ever, or the target was blamed."""

    async def test(running: Gateway) -> None:
        loop = asyncio.get_running_loop()
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", running.port))
        try:
            await loop.sock_sendall(client, begins)
            await turns_until(lambda: any(one.is_write_paused for one in running.core.clients))
            (target,) = {one.target for one in running.core.upstreams}
            await loop.sock_sendall(client, more)
            await turns_until(lambda: not running.core.clients, 10)
            assert target.failures == 0
        finally:
            client.close()

    run(tmp_path, test, service("s", pouring.port, upstream={"timeouts": {"connect": 1, "response": 0.3, "idle": 0.6}}))


@pytest.mark.parametrize("chunks", [CHUNKS_TOGETHER_MAX // 2, CHUNKS_TOGETHER_MAX * 2])
def test_content_that_came_before_a_half_close_is_forwarded(tmp_path: Path, chunks: int) -> None:
    """In more chunks than a turn has room for, behind another request, it was taken for content that will not come."""
    got = bytearray()
    is_half_closed = threading.Event()

    def serve(connection: socket.socket) -> None:
        head_of(connection)
        is_half_closed.wait(10)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none")
        data = head_of(connection)
        while not data.endswith(b"0\r\n\r\n"):
            data += connection.recv(1 << 16)
        got.extend(data)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")

    async def test(running: Gateway) -> None:
        reader, writer = await connected(running.port)
        writer.write(b"GET /s HTTP/1.1\r\nHost: a\r\n\r\n")
        writer.write(b"POST /s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"1\r\nx\r\n" * chunks + b"0\r\n\r\n")
        writer.write_eof()
        await turns_until(lambda: any(one._is_half_closed for one in running.core.clients))
        is_half_closed.set()
        data = await asyncio.wait_for(reader.read(), 5)
        assert data.count(b"HTTP/1.1 200") == 2, data
        assert running.count("s", CALLS) == 2

    origin = Origin(serve)
    try:
        run(tmp_path, test, service("s", origin.port))
    finally:
        origin.close()
    assert got.count(b"x") >= chunks


@pytest.mark.parametrize("cut", range(1, 75))
def test_no_byte_is_lost_between_requests_however_they_come(tmp_path: Path, cut: int) -> None:
    """What came behind content was read from where the request before it had ended: a request lost its beginning."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    text = (
        b"GET /zz HTTP/1.1\r\nHost: a\r\n\r\n"
        b"POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
        b"GET /s/last HTTP/1.1\r\nHost: a\r\n\r\n"
    )

    def serve(connection: socket.socket) -> None:
        data = head_of(connection)
        while not data.endswith(b"abc"):
            data += connection.recv(100)
        connection.sendall(answer)
        if head_of(connection).startswith(b"GET /last "):
            connection.sendall(answer)
        head_of(connection)

    async def test(running: Gateway) -> None:
        reader, writer = await connected(running.port)
        writer.write(text[:cut])
        await turns_until(lambda: any(one.wire.row >= 0 or one._buffer for one in running.core.clients))
        await asyncio.sleep(0.01)
        writer.write(text[cut:])
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 404")
        for _ in range(2):
            assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200")

    origin = Origin(serve)
    try:
        run(tmp_path, test, service("s", origin.port))
    finally:
        origin.close()
