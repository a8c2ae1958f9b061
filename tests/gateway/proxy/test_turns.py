"""What one peer can cause in one turn of the loop has a bound; what is more is done in the next ones (kind: work)."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.http.chunked import CHUNKS_TOGETHER_MAX
from gateway.proxy.client import EMPTY_BYTES_MAX
from gateway.proxy.downstream import REFUSALS_PATIENCE
from gateway.proxy.paced import PIPELINED_BYTES_MAX
from gateway.proxy.turns import REQUESTS_TOGETHER_MAX, STEPS_TOGETHER_MAX
from gateway.proxy.upstream import INTERIM_MAX
from metering.cells import CALLS, FRONTEND_ERRORS, INGRESS, egress_cell
from tests.gateway.data_plane import service
from tests.gateway.proxy.in_process import Gateway, Turns, gateway, turns_until

READ_BYTES_MAX = 256 * 1024  # the loop's
TOGETHER_MAX = STEPS_TOGETHER_MAX * REQUESTS_TOGETHER_MAX
KEY = {"type": "key", "header": "X-Api-Key", "keys": [], "strip": False}
REFUSED = [
    pytest.param(b"GET /zz HTTP/1.1\r\nHost: a\r\n\r\n", "-", "no_route", id="404"),
    pytest.param(b"GET /keyed HTTP/1.1\r\nHost: a\r\n\r\n", "keyed", "unauthorized", id="401"),
    pytest.param(b"GET /denied HTTP/1.1\r\nHost: a\r\n\r\n", "denied", "forbidden", id="403"),
    pytest.param(b"GET /limited HTTP/1.1\r\nHost: a\r\n\r\n", "limited", "rate_limited", id="429"),
    pytest.param(b"PUT /routed/x HTTP/1.1\r\nHost: a\r\n\r\n", "routed", "no_route", id="404 in a service"),
]


def services() -> list[dict[str, Any]]:
    return [
        service("keyed", 9, auth=KEY),
        service("denied", 9, deny=["0.0.0.0/0"]),
        service("limited", 9, limit={"slot": 0, "qps": 1}, upstream={"targets": []}),
        service("routed", 9, routes=[{"id": "r", "methods": ["GET"], "path": "/other", "limit": None}]),
    ]


def run(folder: Path, test: Callable[[Gateway], Awaitable[None]], *of: dict[str, Any]) -> None:
    async def main() -> None:
        async with gateway(folder, *of) as running:
            try:
                await test(running)
            finally:
                while _WRITERS:
                    writer = _WRITERS.pop()
                    writer.close()
                    writer.transport.abort()

    uvloop.run(main())


_WRITERS: list[asyncio.StreamWriter] = []


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 26)
    _WRITERS.append(writer)
    return reader, writer


@pytest.mark.parametrize("request_text, whose, code", REFUSED)
def test_requests_that_are_refused_are_answered_some_in_each_turn(
    tmp_path: Path, request_text: bytes, whose: str, code: str
) -> None:
    """All that came with one read were answered in one turn: 4 MB of them stopped the worker for 3 s."""
    many = 1500

    async def test(running: Gateway) -> None:
        reader, writer = await connected(running.port)
        cell = FRONTEND_ERRORS[code]
        with Turns(lambda: running.count(whose, cell)) as turns:
            writer.write(request_text * many)
            answered = 0
            while answered < many:
                answered += (await reader.readuntil(b"}")).count(b"HTTP/1.1 ")
        # Of those over the limit one a second is admitted.
        assert running.count(whose, cell) + (running.count(whose, CALLS) if whose != "-" else 0) == many
        assert running.count(whose, cell) > many / 2
        assert turns.most <= REQUESTS_TOGETHER_MAX

    run(tmp_path, test, *services())


def test_many_connections_that_are_refused_again_and_again_share_what_is_theirs(tmp_path: Path) -> None:
    """64 connections over their limit were each served in every turn: others' p50 went from 0.3 to 4.5 ms."""
    crowd, rounds = 48, 30
    text = b"GET /keyed HTTP/1.1\r\nHost: a\r\n\r\n"

    async def ask(port: int, times: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await connected(port)
        for _ in range(times):
            writer.write(text)
            await reader.readuntil(b"}")
        return reader, writer

    async def again(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(rounds):
            writer.write(text)
            await reader.readuntil(b"}")

    async def test(running: Gateway) -> None:
        known = await asyncio.gather(*(ask(running.port, REFUSALS_PATIENCE) for _ in range(crowd)))
        with Turns(lambda: running.count("keyed", FRONTEND_ERRORS["unauthorized"])) as turns:
            await asyncio.gather(*(again(*one) for one in known))
        assert turns.most <= TOGETHER_MAX
        assert running.count("keyed", FRONTEND_ERRORS["unauthorized"]) == crowd * (REFUSALS_PATIENCE + rounds)

    run(tmp_path, test, *services())


class Origin:
    """Answers each request with what the test says, from a thread."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.connections = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._serve(connection)
            except OSError:
                return

    def close(self) -> None:
        self._listening.close()


def head_of(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65_536)
        if not piece:
            raise OSError
        data += piece
    return data


def test_content_in_chunks_of_one_byte_is_read_some_in_each_turn(tmp_path: Path) -> None:
    """One POST of 16 MB stopped the worker for 2.7 s."""
    size = 60_000
    got = bytearray()

    def serve(connection: socket.socket) -> None:
        data = head_of(connection)
        while not data.endswith(b"0\r\n\r\n"):
            data += connection.recv(1 << 16)
        got.extend(data)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def test(running: Gateway) -> None:
        reader, writer = await connected(running.port)
        with Turns(lambda: running.count("up", INGRESS)) as turns:
            writer.write(b"POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"1\r\nx\r\n" * size + b"0\r\n\r\n")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        assert running.count("up", INGRESS) > size
        # What a read brings, and what its turn does.
        assert turns.most <= 2 * CHUNKS_TOGETHER_MAX + 100

    origin = Origin(serve)
    try:
        run(tmp_path, test, service("up", origin.port))
    finally:
        origin.close()
    assert got.count(b"x") >= size


def test_answers_in_chunks_of_one_byte_are_read_some_in_each_turn(tmp_path: Path) -> None:
    size = 60_000

    def serve(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"1\r\nx\r\n" * size + b"0\r\n\r\n")
        head_of(connection)

    async def test(running: Gateway) -> None:
        reader, writer = await connected(running.port)
        cell = egress_cell("client", "internet", "application")
        with Turns(lambda: running.count("down", cell)) as turns:
            writer.write(b"GET /down HTTP/1.1\r\nHost: a\r\n\r\n")
            data = await reader.readuntil(b"\r\n0\r\n\r\n")
        assert data.count(b"x") >= size
        assert turns.most <= 2 * (CHUNKS_TOGETHER_MAX + 20) + 300
        # The connection goes on.
        writer.write(b"GET /zz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 404")

    origin = Origin(serve)
    try:
        run(tmp_path, test, service("down", origin.port))
    finally:
        origin.close()


@pytest.mark.parametrize("more, status", [(0, b"200"), (1, b"502")])
def test_interim_answers_have_a_bound(tmp_path: Path, more: int, status: bytes) -> None:
    """An upstream with endless 103s held the worker for 10 s."""

    def serve(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * (INTERIM_MAX + more))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        head_of(connection)

    async def test(running: Gateway) -> None:
        reader, writer = await connected(running.port)
        writer.write(b"GET /hints HTTP/1.1\r\nHost: a\r\n\r\n")
        seen = b""
        while b"HTTP/1.1 " + status not in seen:
            data = await reader.read(1 << 16)
            assert data, seen[-200:]
            seen += data
        assert seen.count(b"HTTP/1.1 103") == INTERIM_MAX
        assert running.count("hints", CALLS) == 1

    origin = Origin(serve)
    try:
        run(tmp_path, test, service("hints", origin.port, upstream={"retries": 0}))
    finally:
        origin.close()


def test_interim_answers_together_have_no_more_fields_than_two_heads(tmp_path: Path) -> None:
    """A hundred of 510 different fields each, as often as somebody asks, stopped the worker for 75 ms and more."""
    number = 510

    def serve(connection: socket.socket) -> None:
        head_of(connection)
        for answer in range(3):
            fields = b"".join(b"%x:%x\r\n" % (field, answer) for field in range(number))
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\n" + fields + b"\r\n")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        head_of(connection)

    async def test(running: Gateway) -> None:
        reader, writer = await connected(running.port)
        writer.write(b"GET /hints HTTP/1.1\r\nHost: a\r\n\r\n")
        data = await reader.readuntil(b"}")
        assert data.count(b"HTTP/1.1 103") == 2
        assert b"HTTP/1.1 502" in data

    origin = Origin(serve)
    try:
        run(tmp_path, test, service("hints", origin.port, upstream={"retries": 0}))
    finally:
        origin.close()


def test_who_does_not_read_its_answers_is_read_no_more(tmp_path: Path) -> None:
    """Refusals pile up in nobody's memory: the bytes that were read stop, and go on when it reads."""
    many = 200_000
    text = b"GET /zz HTTP/1.1\r\nHost: a\r\n\r\n"

    async def test(running: Gateway) -> None:
        loop = asyncio.get_running_loop()
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", running.port))
        sending = loop.create_task(loop.sock_sendall(client, text * many), name="sending")
        refused = FRONTEND_ERRORS["no_route"]
        await turns_until(lambda: running.count("-", refused) > 100)
        (connection,) = running.core.clients
        await turns_until(lambda: connection.is_write_paused)
        await asyncio.sleep(0.2)
        stopped_at = running.count("-", refused)
        await asyncio.sleep(0.2)
        assert running.count("-", refused) == stopped_at
        assert len(connection._buffer) < 1 << 20
        answered = 0
        while running.count("-", refused) < stopped_at + 1000:
            answered += len(await loop.sock_recv(client, 1 << 16))
        sending.cancel()
        client.close()

    run(tmp_path, test, *services())


def test_requests_that_wait_are_no_more_than_a_few_reads(tmp_path: Path) -> None:
    """Pipelined ones that are admitted grew the worker by 64 MiB in 12 s: each answer let another read in."""
    text = b"GET /some HTTP/1.1\r\nHost: a\r\nX-Filler: " + b"x" * 2000 + b"\r\n\r\n"
    many = 3000

    def serve(connection: socket.socket) -> None:
        while True:
            head_of(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def test(running: Gateway) -> None:
        reader, writer = await connected(running.port)
        writer.write(text * many)
        await turns_until(lambda: len(running.core.clients) == 1)
        (connection,) = running.core.clients
        most = answered = 0
        while answered < many:
            answered += (await reader.readuntil(b"ok")).count(b"HTTP/1.1 200")
            most = max(most, len(connection._buffer))
        # What may wait, and the read that was one too many.
        assert PIPELINED_BYTES_MAX <= most <= PIPELINED_BYTES_MAX + 2 * READ_BYTES_MAX
        assert running.count("some", CALLS) == many

    origin = Origin(serve)
    try:
        run(tmp_path, test, service("some", origin.port))
    finally:
        origin.close()


def test_empty_lines_are_no_requests_without_end(tmp_path: Path) -> None:
    """RFC 9112 2.2. Megabytes of them stopped the worker for 1.2 s."""

    async def test(running: Gateway) -> None:
        reader, writer = await connected(running.port)
        writer.write(b"\r\n" * (EMPTY_BYTES_MAX // 2) + b"GET /zz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 404")
        writer.write(b"\r\n" * (EMPTY_BYTES_MAX // 2 + 1) + b"GET /zz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 400")
        assert await reader.read() == b""

    run(tmp_path, test, *services())


def test_what_waits_for_a_reader_is_not_read_twice(tmp_path: Path) -> None:
    """Requests that come while others wait, for a turn or until the client reads, follow those once."""
    text = b"GET /zz/%d HTTP/1.1\r\nHost: a\r\n\r\n"

    async def test(running: Gateway) -> None:
        reader, writer = await connected(running.port)
        sent = 0
        for _ in range(200):
            writer.write(b"".join(text % n for n in range(sent, sent + 7)))
            sent += 7
            await asyncio.sleep(0)
        answered = 0
        while answered < sent:
            answered += (await reader.readuntil(b"}")).count(b"HTTP/1.1 404")
        await asyncio.sleep(0.05)
        assert running.count("-", FRONTEND_ERRORS["no_route"]) == sent

    run(tmp_path, test, *services())


def test_those_whose_wait_is_over_together_are_refused_some_in_each_turn(tmp_path: Path) -> None:
    """512 were refused in one turn: 77 ms for everybody else."""
    crowd = 100
    text = b"GET /waits HTTP/1.1\r\nHost: a\r\n\r\n"

    async def ask(port: int) -> bytes:
        reader, writer = await connected(port)
        writer.write(text)
        return await reader.readuntil(b"}")

    async def test(running: Gateway) -> None:
        with Turns(lambda: running.count("waits", FRONTEND_ERRORS["rate_limited"])) as turns:
            answers = await asyncio.gather(*(ask(running.port) for _ in range(crowd)))
        refused = sum(answer.startswith(b"HTTP/1.1 429") for answer in answers)
        assert refused == running.count("waits", FRONTEND_ERRORS["rate_limited"]) > crowd - 10
        assert turns.most <= STEPS_TOGETHER_MAX

    waits = service("waits", 9, limit={"slot": 0, "qps": 1}, wait_ms_max=400, upstream={"targets": []})
    run(tmp_path, test, waits)
