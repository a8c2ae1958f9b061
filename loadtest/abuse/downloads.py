"""Attacks by a tenant's own origin: what `upstream.py` answers by these paths, and clients that ask for it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.http.via import HOPS_MAX
from loadtest.abuse.attack import Attack, Bound, Ground, Setup, for_ever
from loadtest.abuse.pipelines import request

KEPT: Final = 8
ARRIVALS: Final = "arrivals of one GET"
SLOW_READ_S: Final = 1.0
_SMALL_BUFFER: Final = 4096


def _get(path: str, *, reads: bool = True) -> Callable[[Ground, int], Awaitable[None]]:
    """Asks, and takes what comes, until the node closes; or takes nothing."""

    async def each(ground: Ground, number: int) -> None:
        line = await ground.connect(receive_bytes=0 if reads else _SMALL_BUFFER)
        try:
            while True:
                ground.seen.sent += 1
                await line.send(request("/mark" + path))
                await _to_its_end(line.read) if reads else await for_ever()
        finally:
            line.reset()

    return each


async def _to_its_end(read: Callable[[], Awaitable[bytes]]) -> None:
    """An answer of any framing: by its length, or by the chunk that ends it."""
    data = await read()
    while b"\r\n\r\n" not in data:
        data += await read()
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", data[: data.index(b"\r\n\r\n")])
    left = int(length[1]) - (len(data) - data.index(b"\r\n\r\n") - 4) if length else 1
    tail = data[-5:]
    while left > 0 if length else tail != b"0\r\n\r\n":
        data = await read()
        left -= len(data)
        tail = (tail + data)[-5:]


async def _slow_reader(ground: Ground, number: int) -> None:
    """A little each second of 16 MB."""
    line = await ground.connect(receive_bytes=_SMALL_BUFFER)
    try:
        ground.seen.sent += 1
        await line.send(request("/mark/large"))
        while True:
            await asyncio.sleep(SLOW_READ_S)
            await line.read_byte()
    finally:
        line.reset()


async def _repeat(ground: Ground, number: int) -> None:
    """Connections upstream are made and kept; then one GET, which each of them is closed on without an answer."""
    await asyncio.gather(*(_warm(ground) for _ in range(KEPT)))
    name = ground.seen.sent
    line = await ground.connect()
    try:
        ground.seen.sent += 1
        await line.send(request(f"/mark/die/{name}"))
        await line.answer()
    finally:
        line.reset()
    reader, writer = await asyncio.open_connection("127.0.0.1", ground.upstream)
    writer.write(request(f"/arrivals/{name}"))
    arrivals = int((await reader.readuntil(b"arrivals\n")).split()[-2])
    writer.close()
    ground.seen.noted[ARRIVALS] = max(ground.seen.noted.get(ARRIVALS, 0), arrivals)


async def _warm(ground: Ground) -> None:
    line = await ground.connect()
    try:
        ground.seen.sent += 1
        await line.send(request("/mark/warm"))
        await line.answer()
    finally:
        line.reset()


async def _loop(ground: Ground, number: int) -> None:
    line = await ground.connect()
    try:
        ground.seen.sent += 1
        await line.send(request("/mark/round"))
        await line.answer()
        await asyncio.sleep(0.1)
    finally:
        line.reset()


DOWNLOADS: Final[tuple[Attack, ...]] = (
    Attack("tiny-chunks-down", "an upstream's 16 MB in chunks of one byte", _get("/tiny-chunks")),
    Attack("endless-103", "an upstream that sends 103 Early Hints for ever", _get("/endless-103")),
    Attack("endless-103-unread", "the same, and the client does not read", _get("/endless-103", reads=False)),
    Attack("endless-trailers", "an upstream whose trailers do not end", _get("/endless-trailers")),
    Attack("slow-upstream-head", "an upstream's head of 32 KB, byte by byte", _get("/slow-head")),
    Attack("endless-head-upstream", "an upstream whose head does not end", _get("/endless-head")),
    Attack("surplus-upstream", "an upstream that goes on after its answer", _get("/surplus")),
    Attack("slow-readers", "16 MB asked for, and a byte a second read", _slow_reader),
    Attack(
        "blackhole-dials",
        "requests for a target that does not take connections",
        _get("/"),
        connections=400,
        setup=Setup(target="http://127.0.0.1:{blackhole}", upstream={"timeouts": {"connect": "1s"}}),
    ),
    Attack(
        "repeats",
        "an upstream that closes kept connections without an answer",
        _repeat,
        connections=1,
        setup=Setup(upstream={"retries": 0}),
        bounds=(Bound(ARRIVALS, least=1, most=2),),
    ),
    Attack(
        "loop",
        "a service whose target leads to the node's own entry",
        _loop,
        connections=1,
        setup=Setup(target="http://127.0.0.1:{relay}/mark"),
        calls_each_max=HOPS_MAX,
    ),
)
