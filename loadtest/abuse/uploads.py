"""Attacks in what clients send: its framing, its pace, and that it stops."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from loadtest.abuse.attack import Attack, Bound, Each, Ground, Line, Setup
from loadtest.abuse.others import ASKED, ask
from loadtest.abuse.pipelines import request

if TYPE_CHECKING:
    from loadtest.abuse.stage import Stage

CONTENT_BYTES: Final = 16 << 20
CHUNKS: Final = 65_536  # of a byte, in a block
HEAD_BYTES: Final = 32_000
TRAILER_BYTES: Final = 8_000
BYTES_A_TURN: Final = 64  # of the attacker's loop; each is a segment of its own
OTHERS_ASKED: Final = 20
# A byte each 20 s against the 30 s that a node gives by default, forty times as fast.
_SLOW_POST_S: Final = 0.5
_SCALED: Final = {"head_timeout": "2s", "body_timeout": "750ms", "idle_timeout": "5s"}
_CHUNKED: Final = "Transfer-Encoding: chunked\r\n"


async def _one(ground: Ground, head: bytes, content: AsyncIterator[bytes], *, reads: bool = True) -> None:
    """One request on its own connection; until it is answered, or cut."""
    line = await ground.connect()
    ground.seen.sent += 1
    reading = asyncio.ensure_future(line.read())
    try:
        await line.send(head)
        async for piece in content:
            if reading.done():
                break
            await line.send(piece)
        if reads:
            await reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        line.reset()


async def _repeated(block: bytes, times: int) -> AsyncIterator[bytes]:
    for _ in range(times):
        yield block


async def _by_byte(text: bytes) -> AsyncIterator[bytes]:
    for at, byte in enumerate(text):
        yield bytes((byte,))
        if at % BYTES_A_TURN == 0:
            await asyncio.sleep(0)


async def _dripping(interval_s: float) -> AsyncIterator[bytes]:
    while True:
        yield b"x"
        await asyncio.sleep(interval_s)


def _chunks(chunk: bytes) -> Each:
    block = chunk * CHUNKS

    async def each(ground: Ground, number: int) -> None:
        await _one(
            ground, request("/mark/", _CHUNKED, "POST"), _then(_repeated(block, CONTENT_BYTES // CHUNKS), b"0\r\n\r\n")
        )

    return each


async def _then(content: AsyncIterator[bytes], end: bytes) -> AsyncIterator[bytes]:
    async for piece in content:
        yield piece
    yield end


async def _head_by_byte(ground: Ground, number: int) -> None:
    await _one(ground, b"", _by_byte(request(fields=f"X-Long: {'x' * HEAD_BYTES}\r\n")))


async def _fields_by_byte(ground: Ground, number: int) -> None:
    await _one(ground, b"", _by_byte(request(fields="X-A: b\r\n" * 120)))


async def _trailers_by_byte(ground: Ground, number: int) -> None:
    trailers = b"0\r\nX-Long: " + b"x" * TRAILER_BYTES + b"\r\n\r\n"
    await _one(ground, request("/mark/", _CHUNKED, "POST"), _by_byte(trailers))


async def _slow_post(ground: Ground, number: int) -> None:
    head = request("/mark/", f"Content-Length: {CONTENT_BYTES}\r\n", "POST")
    await _one(ground, head, _dripping(_SLOW_POST_S))


async def _expectation(ground: Ground, number: int) -> None:
    """Waits for leave to send, gets it, and does not."""
    await _one(ground, request("/mark/", "Content-Length: 9\r\nExpect: 100-continue\r\n", "POST"), _repeated(b"", 0))


async def _unread_upload(ground: Ground, number: int) -> None:
    head = request("/mark/unread", f"Content-Length: {CONTENT_BYTES}\r\n", "POST")
    await _one(ground, head, _repeated(b"x" * 65_536, CONTENT_BYTES // 65_536))


async def _half_open(ground: Ground, number: int) -> None:
    """Resets in the middle: of a head, of content, of the wait for an answer, by turns."""
    texts = (
        b"GET /mark/ HTTP/1.1\r\nHo",
        request("/mark/", "Content-Length: 9\r\n", "POST") + b"half",
        request("/mark/", _CHUNKED, "POST") + b"5\r\nha",
        request("/mark/slow"),
    )
    for text in itertools.islice(itertools.cycle(texts), 100):
        line: Line = await ground.connect()
        ground.seen.sent += 1
        await line.send(text)
        await asyncio.sleep(0.001)  # Some are under way by then, others not.
        line.reset()


def _ask_others(stage: Stage) -> dict[str, int]:
    """Other clients of the attacked service, one after the other."""
    answers = [ask(stage.entry, timeout_s=5.0) for _ in range(OTHERS_ASKED)]
    return {OTHERS_REFUSED: sum(status != 200 for status in answers), ASKED: OTHERS_ASKED}


OTHERS_REFUSED: Final = f"others of the service refused, of {OTHERS_ASKED}"

UPLOADS: Final[tuple[Attack, ...]] = (
    Attack("tiny-chunks-up", "16 MB of content in chunks of one byte", _chunks(b"1\r\nx\r\n")),
    Attack(
        "chunk-extensions", "chunks of one byte with 200 bytes of extension", _chunks(b"1;" + b"e" * 200 + b"\r\nx\r\n")
    ),
    Attack("head-by-byte", "a head of 32 KB, byte by byte", _head_by_byte),
    Attack("fields-by-byte", "a head of 120 fields, byte by byte", _fields_by_byte),
    Attack("trailers-by-byte", "trailers of 8 KB, byte by byte", _trailers_by_byte),
    Attack(
        "slow-posts",
        "POSTs that drip, and hold all connections that a target may have",
        _slow_post,
        setup=Setup(client=_SCALED, upstream={"connections_max": 4}),
        probe=_ask_others,
        bounds=(Bound(OTHERS_REFUSED, most=0),),
    ),
    Attack("expectations", "512 POSTs that ask for leave and then send nothing", _expectation, connections=512),
    Attack("unread-uploads", "16 MB to an upstream that does not read", _unread_upload),
    Attack("half-open", "clients that reset in the middle, as fast as possible", _half_open),
)
