"""`websockets` on both ends: the messages, closes and pings of RFC 6455 through a metered tunnel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.gateway.data_plane import WorkerProcess, service, worker
from tests.node import until

LONG = bytes(range(256)) * 8192  # 2 MiB
BYTES_MAX = 1 << 23


class Counted(ClientConnection):
    """Counts what comes from the socket."""

    bytes_read = 0

    def data_received(self, data: bytes) -> None:
        self.bytes_read += len(data)
        super().data_received(data)


async def behave(connection: ServerConnection) -> None:
    """Says back what it hears; closes with the code it is told."""
    async for message in connection:
        if isinstance(message, str) and message.startswith("close "):
            await connection.close(int(message.split()[1]), "as told")
        elif message == "where":
            assert connection.request is not None
            await connection.send(f"{connection.request.path} {connection.request.headers['X-Own']}")
        else:
            await connection.send(message)


@pytest.fixture
async def upstream() -> AsyncIterator[Server]:
    async with serve(behave, "127.0.0.1", 0, max_size=BYTES_MAX, subprotocols=["one"]) as server:  # type: ignore[list-item]
        yield server


@pytest.fixture
async def running(upstream: Server, tmp_path: Path) -> AsyncIterator[WorkerProcess]:
    port = next(iter(upstream.sockets)).getsockname()[1]
    with worker(tmp_path, service("live", port, protocol="websocket")) as made:
        yield made


def dial(running: WorkerProcess, subprotocol: str | None = "one", **options: Any) -> connect:
    return connect(
        f"ws://127.0.0.1:{running.port}/live/room?x=1",
        create_connection=Counted,
        subprotocols=[subprotocol] if subprotocol else None,  # type: ignore[list-item]
        max_size=BYTES_MAX,
        proxy=None,
        **options,
    )


async def test_messages_of_all_kinds_come_back_and_every_byte_is_metered(running: WorkerProcess) -> None:
    async with dial(running, additional_headers={"X-Own": "mine"}) as client:
        assert client.subprotocol == "one"
        await client.send("where")
        assert await client.recv() == "/room?x=1 mine"
        for message in ("", "grüße", b"\0\xff", LONG):
            await client.send(message)
            assert await client.recv() == message
        await client.send([b"in ", b"three ", b"frames"])
        assert await client.recv() == b"in three frames"
        pong = await client.ping(b"payload")
        async with asyncio.timeout(10):
            await pong
    assert isinstance(client, Counted)
    counts = running.counts()["live"]
    assert counts["egress:client:internet:application"] == client.bytes_read > 0
    assert (counts["websocket_connections"], counts.get("calls", 0)) == (1, 0)


@pytest.mark.parametrize("code", [1000, 1001, 1008, 4321])
async def test_the_server_s_close_arrives_as_it_was(running: WorkerProcess, code: int) -> None:
    async with dial(running) as client:
        await client.send(f"close {code}")
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, "as told")


async def test_the_client_s_close_arrives_too(running: WorkerProcess, upstream: Server) -> None:
    async with dial(running) as client:
        await client.send("x")
        await client.recv()
        (connection,) = upstream.connections
        await client.close(4000, "gone home")
    async with asyncio.timeout(10):
        await connection.wait_closed()
    assert (connection.close_code, connection.close_reason) == (4000, "gone home")


async def test_many_at_once(running: WorkerProcess) -> None:
    async def one(number: int) -> None:
        async with dial(running) as client:
            for turn in range(20):
                await client.send(f"{number} {turn}")
                assert await client.recv() == f"{number} {turn}"

    async with asyncio.TaskGroup() as tasks:
        for number in range(50):
            tasks.create_task(one(number))
    until(lambda: running.counts()["live"]["websocket_connections"] == 50, "every connection is counted", 10)


async def test_a_server_that_refuses_the_handshake_is_heard(running: WorkerProcess) -> None:
    """It wants a subprotocol: its answer is passed on as it is, and is no tunnel."""
    with pytest.raises(InvalidStatus) as refused:
        await dial(running, subprotocol=None)
    assert refused.value.response.status_code == 400
    assert b"subprotocol" in (refused.value.response.body or b"").lower()
