"""Mixed traffic at a steady rate that knows of each request what became of it, and why.

Three kinds at once: requests on keep-alive connections that rest in between, requests on a new connection each, and
requests whose answer takes seconds. Every request ends as completed, failed, or excused: failed on a connection of a
worker that was killed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

ANSWER_S_MAX = 20.0  # A request without an answer by then has failed.
_TICK_S = 0.005


@dataclass
class Counts:
    """Of one phase. ``unannounced``: connections closed at rest whose last answer had not said so."""

    sent: int = 0
    completed: int = 0
    failed: int = 0
    excused: int = 0
    unannounced: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)  # of quick answers

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0


@dataclass(frozen=True)
class Mix:
    """``rate``: requests a second, of which shares go over new connections and to slow answers of ``slow_s``."""

    rate: float = 1000.0
    connections: int = 100
    new_share: float = 0.15
    slow_share: float = 0.04
    slow_s: float = 3.0


class _Connection(asyncio.Protocol):
    """One request in flight at the most."""

    def __init__(self, traffic: Traffic, kind: str) -> None:
        self.traffic = traffic
        self.kind = kind
        self.port = 0
        self.sent_at = 0.0  # 0: at rest
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.port = transport.get_extra_info("sockname")[1]
        self.traffic.open.add(self)

    def send(self, request: bytes) -> None:
        self.sent_at = time.monotonic()
        assert self._transport is not None
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, content = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lowered = head.lower() + b"\r\n"
        at = lowered.index(b"\r\ncontent-length:") + 17
        if len(content) < int(lowered[at : lowered.index(b"\r", at)]):
            return
        self._buffer = b""
        took_s, self.sent_at = time.monotonic() - self.sent_at, 0.0
        self.traffic.answered(self, int(head[9:12]), took_s)
        if b"\r\nconnection: close\r\n" in lowered or self.kind == "new":
            self.kind = "done"
            self.close()
        else:
            self.traffic.rest(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.traffic.lost(self, exc)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Traffic:
    """``counts`` may be replaced at any time: what ends from then on is counted there."""

    def __init__(self, port: int, path: str, mix: Mix, seed: int = 1) -> None:
        self.counts = Counts()
        self.open: set[_Connection] = set()
        self._port = port
        self._quick = f"GET {path}/bytes/200 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self._slow = f"GET {path}/slow/{mix.slow_s} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self._mix = mix
        self._chance = random.Random(seed)
        self._resting: dict[str, list[_Connection]] = {"kept": [], "slow": []}
        self._excused: dict[int, float] = {}  # client port: until when
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()

    def excuse(self, ports: set[int]) -> None:
        """These connections belonged to a worker that was killed: theirs may fail, for a second."""
        until = time.monotonic() + 1.0
        self._excused.update(dict.fromkeys(ports, until))

    async def run(self) -> None:
        """Sends until ``stop``, then waits for what is in flight."""
        began, sent = time.monotonic(), 0
        while not self._stop.is_set():
            due = int((time.monotonic() - began) * self._mix.rate)
            while sent < due:
                sent += 1
                self._one()
            self._time_out()
            await asyncio.sleep(_TICK_S)
        while self._tasks or any(connection.sent_at for connection in self.open):
            self._time_out()
            await asyncio.sleep(_TICK_S)
        for connection in list(self.open):
            connection.kind = "done"
            connection.close()

    def stop(self) -> None:
        self._stop.set()

    def _one(self) -> None:
        draw = self._chance.random()
        kind = "new" if draw < self._mix.new_share else "slow" if draw > 1 - self._mix.slow_share else "kept"
        self.counts.sent += 1
        resting = self._resting.get(kind)
        # Up to the number of connections another is opened, so that there are always some at rest.
        if resting and (kind == "slow" or len(self.open) >= self._mix.connections):
            resting.pop(self._chance.randrange(len(resting))).send(self._slow if kind == "slow" else self._quick)
            return
        task = asyncio.get_running_loop().create_task(self._connect(kind), name=f"connect {kind}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, kind: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                _, connection = await loop.create_connection(lambda: _Connection(self, kind), "127.0.0.1", self._port)
        except (OSError, TimeoutError) as error:
            self._failed(f"connect: {type(error).__name__}")
            return
        connection.send(self._slow if kind == "slow" else self._quick)

    def rest(self, connection: _Connection) -> None:
        self._resting[connection.kind].append(connection)

    def answered(self, connection: _Connection, status: int, took_s: float) -> None:
        if status != 200:
            self._failed(f"status {status}")
            return
        self.counts.completed += 1
        if connection.kind != "slow":
            self.counts.seconds.append(took_s)

    def lost(self, connection: _Connection, error: Exception | None) -> None:
        self.open.discard(connection)
        is_excused = self._excused.pop(connection.port, 0.0) > time.monotonic()
        if connection.sent_at:
            if is_excused:
                self.counts.excused += 1
            else:
                self._failed(
                    f"{connection.kind}: closed without an answer ({type(error).__name__ if error else 'end'})"
                )
        elif connection.kind in self._resting:
            if connection in self._resting[connection.kind]:
                self._resting[connection.kind].remove(connection)
            if not is_excused:
                self.counts.unannounced += 1

    def _failed(self, reason: str) -> None:
        self.counts.failed += 1
        self.counts.reasons[reason] += 1

    def _time_out(self) -> None:
        before = time.monotonic() - ANSWER_S_MAX
        for connection in [one for one in self.open if 0 < one.sent_at < before]:
            self._failed(f"{connection.kind}: no answer within {ANSWER_S_MAX:.0f} s")
            connection.sent_at, connection.kind = 0.0, "done"
            connection.abort()


def row_of(name: str, counts: Counts) -> list[Any]:
    """A phase as a table's row."""
    return [
        name,
        counts.sent,
        counts.completed,
        counts.excused,
        counts.failed,
        counts.unannounced,
        f"{counts.percentile_ms(0.5):.1f}",
        f"{counts.percentile_ms(0.99):.1f}",
        f"{counts.percentile_ms(1):.0f}",
    ]
