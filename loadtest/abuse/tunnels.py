"""Attacks through a WebSocket: frames are bytes to the node, so any will do."""

from __future__ import annotations

import asyncio
from typing import Final

from loadtest.abuse.attack import Attack, Ground, Line, Setup, for_ever, until_one_ends
from loadtest.abuse.pipelines import request

BLOCK: Final = b"\x82\x7e\xff\xff" + b"x" * 65_535
_UPGRADE: Final = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
_WEBSOCKET: Final = Setup(service={"protocol": "websocket"})


class Tunnel:
    """``data`` over and over; whether what comes is read."""

    def __init__(self, path: str, data: bytes, *, reads: bool = True) -> None:
        self._path, self._data, self._reads = path, data, reads

    async def __call__(self, ground: Ground, number: int) -> None:
        line = await ground.connect()
        try:
            ground.seen.sent += 1
            await line.send(request(self._path, _UPGRADE))
            await line.read()
            await until_one_ends(line.read_on() if self._reads else for_ever(), self._send(line))
        finally:
            line.reset()

    async def _send(self, line: Line) -> None:
        while True:
            await line.send(self._data)
            if len(self._data) == 1:
                await asyncio.sleep(0)  # Else a byte would wait for the next one.


async def _handshakes_only(ground: Ground, number: int) -> None:
    """Opens tunnels and leaves them."""
    line = await ground.connect()
    try:
        ground.seen.sent += 1
        await line.send(request("/mark/quiet-tunnel", _UPGRADE))
        await line.read()
    finally:
        line.reset()


TUNNELS: Final[tuple[Attack, ...]] = (
    Attack("websocket-frames", "tunnels flooded both ways", Tunnel("/mark/tunnel", BLOCK), setup=_WEBSOCKET),
    Attack(
        "websocket-bytes",
        "tunnels with a byte at a time both ways",
        Tunnel("/mark/byte-tunnel", b"x"),
        setup=_WEBSOCKET,
    ),
    Attack(
        "websocket-unread",
        "flooded tunnels whose client does not read",
        Tunnel("/mark/tunnel", BLOCK, reads=False),
        setup=_WEBSOCKET,
    ),
    Attack("websocket-reopened", "tunnels opened and left, as fast as possible", _handshakes_only, 16, _WEBSOCKET),
)
