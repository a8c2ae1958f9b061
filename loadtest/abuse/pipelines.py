"""Attacks that are requests, one after the other, as fast as they are taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from loadtest.abuse.attack import Attack, Ground, Line, Setup, for_ever, until_one_ends

BLOCK_BYTES: Final = 4 << 20
PIECE_BYTES: Final = 1 << 18
LONG_BYTES: Final = 30_000  # of a field; a head may have 32 KiB
REFUSED_CONNECTIONS: Final = 64
WAITING_CONNECTIONS: Final = 512
_KEYED: Final = Setup(
    service={"auth": {"type": "key", "header": "X-Api-Key", "keys": [{"id": "k", "sha256": "00" * 32}]}}
)
_LIMITED: Final = Setup(service={"qps": 1})
_CORS: Final = Setup(
    service={
        "cors": {"origins": ["*"], "methods": ["GET"]},
        "routes": [{"id": "all", "methods": ["GET"], "path": "/*"}],
    }
)


def request(path: str = "/mark/", fields: str = "", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode()


class Pipeline:
    """A request, or many that differ by a number, in blocks; ``reads``: whether the answers are taken."""

    def __init__(self, make: Callable[[int], bytes], *, differs: bool = False, reads: bool = True) -> None:
        self._make, self._differs, self._reads = make, differs, reads

    def _block(self, number: int) -> tuple[bytes, int]:
        """The bytes that connection sends again and again, and the requests in them."""
        one = self._make(number << 32)
        count = BLOCK_BYTES // len(one) if one else 1
        if not self._differs:
            return one * count, count
        return b"".join(self._make((number << 32) + at) for at in range(count)), count

    async def __call__(self, ground: Ground, number: int) -> None:
        block, count = self._block(number)
        line = await ground.connect()
        try:
            await until_one_ends(line.read_on() if self._reads else for_ever(), self._send(line, ground, block, count))
        finally:
            line.reset()

    async def _send(self, line: Line, ground: Ground, block: bytes, count: int) -> None:
        request_bytes = len(block) / count
        begun = 0.0  # of requests, in bytes
        while True:
            for at in range(0, len(block), PIECE_BYTES):
                piece = block[at : at + PIECE_BYTES]
                before, begun = begun, begun + len(piece)
                # A request counts as sent with its first byte.
                ground.seen.sent += -int(-begun // request_bytes) - -int(-before // request_bytes)
                await line.send(piece)


async def _refused(ground: Ground, number: int) -> None:
    """Asks and is answered, over one connection, without a pause."""
    line = await ground.connect()
    text = request()
    try:
        while True:
            ground.seen.sent += 1
            await line.send(text)
            await line.answer()
    finally:
        line.reset()


def _pipelined(name: str, what: str, text: bytes, setup: Setup | None = None, *, reads: bool = True) -> Attack:
    return Attack(name, what, Pipeline(lambda _: text, reads=reads), setup=setup or Setup())


_REFUSED: Final[dict[str, tuple[bytes, Setup]]] = {
    "404": (request("/nowhere/"), Setup()),
    "401": (request(), _KEYED),
    "429": (request(), _LIMITED),
}
_HEADS: Final[dict[str, tuple[str, bytes]]] = {
    "escapes": ("a path of 2,600 escapes", request("/mark/" + "%41" * 2600)),
    "commas-te": ("30 KB of commas in TE", request(fields=f"TE: {',' * LONG_BYTES}\r\n")),
    "commas-connection": ("30 KB of commas in Connection", request(fields=f"Connection: {',' * LONG_BYTES}\r\n")),
    "named-by-connection": (
        "Connection names 5,000 fields",
        request(fields="Connection: " + ",".join(f"n{at}" for at in range(5000)) + "\r\n"),
    ),
    "many-fields": ("128 fields", request(fields="".join(f"X-F{at}: v\r\n" for at in range(126)))),
    "too-many-fields": ("4,000 fields, refused", request(fields="".join(f"F{at}:\r\n" for at in range(4000)))),
    "many-cookies": ("30 KB of cookies in 120 fields", request(fields=f"Cookie: {'a=b; ' * 50}c=d\r\n" * 115)),
}

PIPELINES: Final[tuple[Attack, ...]] = (
    *(_pipelined(f"pipelined-{status}", f"requests, each {status}", *asked) for status, asked in _REFUSED.items()),
    *(
        _pipelined(f"pipelined-{status}-unread", f"the same for {status}, and no answer is read", *asked, reads=False)
        for status, asked in _REFUSED.items()
    ),
    *(_pipelined(name, what, text) for name, (what, text) in _HEADS.items()),
    _pipelined(
        "long-xff",
        "30 KB of addresses in X-Forwarded-For, of a trusted proxy",
        request(fields="X-Forwarded-For: " + ", ".join(["127.0.0.1"] * 2700) + "\r\n"),
        Setup(node={"trusted_proxies": ["127.0.0.0/8"]}, service={"allow": ["127.0.0.0/8"]}),
    ),
    _pipelined(
        "preflights",
        "pipelined preflights, which the node answers itself",
        request(fields="Origin: https://a.example\r\nAccess-Control-Request-Method: GET\r\n", method="OPTIONS"),
        _CORS,
    ),
    _pipelined("empty-lines", "CRLF without end where a request would begin", b"\r\n"),
    _pipelined("bad-heads", "heads that are none, each on a connection of its own", b"GET / HTTP/9\r\n\r\n"),
    Attack(
        "cold-lines",
        "pipelined request lines that are all different",
        Pipeline(lambda at: request(f"/mark/{at:x}?{at:x}"), differs=True),
    ),
    Attack(
        "cold-hosts",
        "pipelined requests whose Host is another each time",
        Pipeline(lambda at: b"GET /nowhere HTTP/1.1\r\nHost: h%x.example\r\n\r\n" % at, differs=True),
    ),
    Attack(
        "key-guesses",
        "pipelined guesses of a key, each another one",
        Pipeline(lambda at: request(fields=f"X-Api-Key: {at:x}\r\n"), differs=True),
        setup=_KEYED,
    ),
    _pipelined("unread-answers", "pipelined GETs of 64 KiB; no answer is read", request("/mark/medium"), reads=False),
    Attack(
        "refusal-flood",
        "64 connections over their limit, as fast as they are refused",
        _refused,
        connections=REFUSED_CONNECTIONS,
        setup=_LIMITED,
    ),
    Attack(
        "waiting-room",
        "512 connections over their limit, of a service that lets them wait for it",
        _refused,
        connections=WAITING_CONNECTIONS,
        setup=Setup(service={"qps": 1, "wait_ms_max": 1000}),
    ),
)
