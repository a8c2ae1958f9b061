"""Attacks on an entry with TLS, where the victim is, too."""

from __future__ import annotations

import ssl
from typing import Final

from loadtest.abuse.attack import READ_BYTES, Attack, Ground, Line, Setup, trusting, until_one_ends
from loadtest.abuse.pipelines import request

CONNECTIONS: Final = 512
RECORDS: Final = 50_000  # in a block
_TLS: Final = Setup(is_tls=True)


class _Handshake:
    """The client's side without a socket, so that what goes out can be held back, cut, or sent in records of a byte."""

    def __init__(self) -> None:
        self.coming, self.going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trusting().wrap_bio(self.coming, self.going, server_hostname="localhost")

    def hello(self) -> bytes:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.going.read()

    async def finish(self, line: Line) -> None:
        await line.send(self.hello())
        while True:
            self.coming.write(await line.read())
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                continue
            await line.send(self.going.read())
            return


async def _client_hello(ground: Ground, number: int) -> None:
    """Has the node sign, and leaves."""
    line = await ground.connect(is_plain=True)
    try:
        ground.seen.sent += 1
        await line.send(_Handshake().hello())
        await line.read()
    finally:
        line.reset()


async def _half_handshake(ground: Ground, number: int) -> None:
    line = await ground.connect(is_plain=True)
    try:
        ground.seen.sent += 1
        hello = _Handshake().hello()
        await line.send(hello[: len(hello) // 2])
        await line.read_on()
    finally:
        line.reset()


async def _tiny_records(ground: Ground, number: int) -> None:
    """Pipelined requests, each byte in a record of its own: 22 bytes and a decryption for one of theirs."""
    line = await ground.connect(is_plain=True)
    handshake = _Handshake()
    try:
        await handshake.finish(line)
        await until_one_ends(line.read_on(), _send_records(line, ground, handshake))
    finally:
        line.reset()


async def _send_records(line: Line, ground: Ground, handshake: _Handshake) -> None:
    text, at = request("/nowhere"), 0
    while True:
        for _ in range(RECORDS):
            ground.seen.sent += at % len(text) == 0
            handshake.tls.write(text[at % len(text) : at % len(text) + 1])
            at += 1
        block = handshake.going.read()
        for begin in range(0, len(block), READ_BYTES):
            await line.send(block[begin : begin + READ_BYTES])


async def _no_handshake(ground: Ground, number: int) -> None:
    """Bytes that are no TLS at all."""
    line = await ground.connect(is_plain=True)
    try:
        ground.seen.sent += 1
        await line.send(request() * 10)
        await line.read_on()
    finally:
        line.reset()


HANDSHAKES: Final[tuple[Attack, ...]] = (
    Attack("client-hellos", "512 connections that greet and leave, over and over", _client_hello, CONNECTIONS, _TLS),
    Attack("half-handshakes", "512 connections with half a ClientHello each", _half_handshake, CONNECTIONS, _TLS),
    Attack("no-handshakes", "64 connections that speak no TLS, over and over", _no_handshake, 64, _TLS),
    Attack("tiny-records", "pipelined requests in TLS records of one byte", _tiny_records, setup=_TLS),
)
