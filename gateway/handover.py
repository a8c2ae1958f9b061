"""Listening sockets on their way to a worker that accepts from them too, while the worker of their slot is away.

One datagram each, on a socket pair of its own (SCM_RIGHTS): `{"slot"}` with the sockets of the slot's entries, in their
order, to accept from; without a socket, to accept from them no more.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

import orjson

_MESSAGE_BYTES_MAX: Final = 256
_SOCKETS_MAX: Final = 64  # of a slot: its entries (ENTRIES_MAX in config/schema.py)


class Handover(NamedTuple):
    """``descriptors`` empty: what was lent of the slot goes back."""

    slot: int
    descriptors: list[int]


def handover_pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def send(channel: socket.socket, slot: int, listeners: Sequence[socket.socket] = ()) -> bool:
    """False: the worker is gone, or has stopped reading."""
    try:
        socket.send_fds(channel, [orjson.dumps({"slot": slot})], [listener.fileno() for listener in listeners])
    except OSError:
        return False
    return True


async def arrivals(channel: socket.socket) -> AsyncIterator[Handover]:
    """Until the sender is gone."""
    while True:
        await _readable(channel)
        message, descriptors, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES_MAX, _SOCKETS_MAX)
        if not message:
            return
        yield Handover(int(orjson.loads(message)["slot"]), list(descriptors))


async def _readable(channel: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    there = asyncio.Event()
    loop.add_reader(channel, there.set)
    try:
        await there.wait()
    finally:
        loop.remove_reader(channel)
