"""A tenant's own origin that does not behave.

``python -m loadtest.abuse.upstream --port P --blackhole P --relay P --entry P``

/tiny-chunks  16 MB in chunks of one byte · /endless-103 · /endless-trailers · /endless-head  without end ·
/slow-head  a head of 32 KB by the byte · /surplus  goes on after its answer · /unread  does not read · /slow ·
/warm  an answer after a while · /die/N  closes without one, /arrivals/N  how often that came · /large, /medium ·
/tunnel, /byte-tunnel, /quiet-tunnel  a WebSocket's · anything else  a small answer.

One more port takes no connection, as its queue is full; another leads to the node's own entry.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import uvloop

from loadtest.abuse.attacker import stand_back

LARGE_BYTES: Final = 16 << 20
MEDIUM_BYTES: Final = 64 << 10
PIECE: Final = b"x" * 65_536
SLOW_HEAD_BYTES: Final = 32_000
SLOW_S, WARM_S = 2.0, 0.3
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_arrivals: Counter[str] = Counter()

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Answer = Callable[[Reader, Writer, str], Awaitable[None]]


def _small(content: bytes = b"ok\n") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)


async def _plain(reader: Reader, writer: Writer, name: str) -> None:
    writer.write(_small())


async def _send_on(writer: Writer, block: bytes, times: int = 0) -> None:
    """``times``: 0 is without end. Raises OSError when the other side is gone."""
    sent = 0
    while not times or sent < times:
        writer.write(block)
        await writer.drain()
        sent += 1


async def _tiny_chunks(reader: Reader, writer: Writer, name: str) -> None:
    writer.write(_CHUNKED)
    await _send_on(writer, b"1\r\nx\r\n" * 65_536, LARGE_BYTES // 65_536)
    writer.write(b"0\r\n\r\n")


async def _endless_103(reader: Reader, writer: Writer, name: str) -> None:
    await _send_on(writer, b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" * 1000)


async def _endless_trailers(reader: Reader, writer: Writer, name: str) -> None:
    writer.write(_CHUNKED + b"1\r\nx\r\n0\r\n")
    await _send_on(writer, b"X-More: and more\r\n" * 1000)


async def _endless_head(reader: Reader, writer: Writer, name: str) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    await _send_on(writer, b"X-More: and more\r\n" * 1000)


async def _slow_head(reader: Reader, writer: Writer, name: str) -> None:
    for at, byte in enumerate(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Long: " + b"x" * SLOW_HEAD_BYTES + b"\r\n\r\n"
    ):
        writer.write(bytes((byte,)))
        if at % 8 == 0:
            await writer.drain()
            await asyncio.sleep(0)


async def _surplus(reader: Reader, writer: Writer, name: str) -> None:
    writer.write(_small())
    await _send_on(writer, PIECE)


async def _slow(reader: Reader, writer: Writer, name: str) -> None:
    await asyncio.sleep(SLOW_S)
    writer.write(_small())


async def _warm(reader: Reader, writer: Writer, name: str) -> None:
    await asyncio.sleep(WARM_S)
    writer.write(_small())


async def _die(reader: Reader, writer: Writer, name: str) -> None:
    _arrivals[name] += 1
    raise ConnectionAbortedError


async def _tell_arrivals(reader: Reader, writer: Writer, name: str) -> None:
    writer.write(_small(b"%d arrivals\n" % _arrivals[name]))


async def _large(reader: Reader, writer: Writer, name: str) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE_BYTES)
    await _send_on(writer, PIECE, LARGE_BYTES // len(PIECE))


async def _medium(reader: Reader, writer: Writer, name: str) -> None:
    writer.write(_small(PIECE[:MEDIUM_BYTES]))


async def _switch(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")


async def _tunnel(reader: Reader, writer: Writer, name: str) -> None:
    await _switch(writer)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_read_on(reader), name="read")
        tasks.create_task(_send_on(writer, b"\x82\x7e\xff\xff" + PIECE[:-1]), name="send")


async def _byte_tunnel(reader: Reader, writer: Writer, name: str) -> None:
    await _switch(writer)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_read_on(reader), name="read")
        tasks.create_task(_send_bytes(writer), name="send")


async def _quiet_tunnel(reader: Reader, writer: Writer, name: str) -> None:
    await _switch(writer)
    await _read_on(reader)


async def _send_bytes(writer: Writer) -> None:
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0)


async def _read_on(reader: Reader) -> None:
    while await reader.read(len(PIECE)):
        pass
    raise ConnectionResetError


ANSWERS: Final[dict[str, Answer]] = {
    "tiny-chunks": _tiny_chunks,
    "endless-103": _endless_103,
    "endless-trailers": _endless_trailers,
    "endless-head": _endless_head,
    "slow-head": _slow_head,
    "surplus": _surplus,
    "slow": _slow,
    "warm": _warm,
    "die": _die,
    "arrivals": _tell_arrivals,
    "large": _large,
    "medium": _medium,
    "tunnel": _tunnel,
    "byte-tunnel": _byte_tunnel,
    "quiet-tunnel": _quiet_tunnel,
}


async def _serve(reader: Reader, writer: Writer) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            _, kind, *rest = head.split(b" ", 2)[1].decode("latin-1").split("/")
            if kind == "unread":
                await asyncio.Event().wait()
            await _read_content(reader, head)
            await ANSWERS.get(kind, _plain)(reader, writer, "".join(rest))
            await writer.drain()
    except* (OSError, EOFError, asyncio.LimitOverrunError, ValueError):
        pass
    finally:
        writer.transport.abort()


async def _read_content(reader: Reader, head: bytes) -> None:
    if length := _LENGTH.search(head):
        left = int(length[1])
        while left > 0 and (data := await reader.read(min(left, len(PIECE)))):
            left -= len(data)
    elif b"chunked" in head.lower():
        tail = b""
        while not tail.endswith(b"0\r\n\r\n"):
            data = await reader.read(len(PIECE))
            if not data:
                raise EOFError
            tail = (tail + data)[-8:]


def _fill(port: int) -> list[socket.socket]:
    """A listening socket whose queue is full: who comes now is not answered at all."""
    held = [socket.create_server(("127.0.0.1", port), backlog=0)]
    for _ in range(4):
        waiting = socket.socket()
        waiting.setblocking(False)
        waiting.connect_ex(("127.0.0.1", port))
        held.append(waiting)
    return held


async def _pass_on(reader: Reader, writer: Writer) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


def _relay_to(port: int) -> Callable[[Reader, Writer], Awaitable[None]]:
    """What comes goes to that port: to the node it looks like any other upstream."""

    async def relay(reader: Reader, writer: Writer) -> None:
        with suppress(OSError):
            back, forth = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_pass_on(reader, forth), _pass_on(back, writer))

    return relay


async def serve(port: int, blackhole: int, relay: int, entry: int) -> None:
    held = _fill(blackhole)
    server = await asyncio.start_server(_serve, "127.0.0.1", port, limit=1 << 16, backlog=4096)
    relaying = await asyncio.start_server(_relay_to(entry), "127.0.0.1", relay)
    try:
        async with relaying:
            await server.serve_forever()
    finally:
        for one in held:
            one.close()


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--port", type=int, required=True)
    ask.add_argument("--blackhole", type=int, required=True)
    ask.add_argument("--relay", type=int, required=True)
    ask.add_argument("--entry", type=int, required=True)
    given = ask.parse_args()
    stand_back()
    try:
        uvloop.run(serve(given.port, given.blackhole, given.relay, given.entry))
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
