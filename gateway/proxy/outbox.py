"""Small writes of one turn of the loop, handed to the kernel together when the turn has ended.

A write wakes whoever reads at the other end. Written one by one, between the reading of one request and the next, each
finds its reader asleep again; written together they find it awake, and the kernel's code in the cache. Where a turn has
few of them each is written at once: to end a turn costs more than they would gain, and whoever waits is served sooner.
"""

from __future__ import annotations

import asyncio
from typing import Final

SMALL_BYTES: Final = 4096  # What is larger is worth a wake-up of its own, and is not to be held in memory.
TOGETHER_MAX: Final = 64  # Nobody waits longer than for so many that were ready at once.
# So many turns are looked at, and must have had so many each, for the others until the next look to wait for their end.
_TURNS_LOOKED_AT: Final = 16
_WORTH_IT: Final = 4


class Outbox:
    """One per worker. What is written to one transport leaves in its order.

    Who does anything else with a transport than to write to it (closes it, asks what is unsent) calls `flush` before.
    """

    __slots__ = ("_is_gathering", "_loop", "_texts", "_texts_seen", "_transports", "_turns_seen")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transports: list[asyncio.Transport] = []
        self._texts: list[bytes] = []
        self._is_gathering = True
        self._turns_seen = 0
        self._texts_seen = 0

    def write(self, transport: asyncio.Transport, text: bytes) -> None:
        """At the end of this turn at the latest."""
        texts = self._texts
        if not self._is_gathering or len(text) > SMALL_BYTES:
            if texts:
                self.flush()
            transport.write(text)
            return
        if not texts:
            # The next turn begins with it, before anything else is read.
            self._loop.call_soon(self.flush)
        texts.append(text)
        self._transports.append(transport)
        if len(texts) >= TOGETHER_MAX:
            self.flush()

    def flush(self) -> None:
        """Whatever waits is written, and whether to wait is decided anew after some turns."""
        texts = self._texts
        if not texts:
            return
        transports = self._transports
        # Whoever is written to may write, in a callback of the transport's.
        self._texts, self._transports = [], []
        for index in range(len(texts)):
            try:
                transports[index].write(texts[index])
            except RuntimeError:
                continue  # It was lost in this turn, and its connection has been told.
        self._texts_seen += len(texts)
        self._turns_seen += 1
        if self._turns_seen == _TURNS_LOOKED_AT:
            self._is_gathering = self._texts_seen >= _WORTH_IT * _TURNS_LOOKED_AT

    def look_again(self) -> None:
        """The load may have changed: to be called now and then."""
        self._is_gathering = True
        self._turns_seen = self._texts_seen = 0
