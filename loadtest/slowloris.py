"""A thousand clients that never finish their heads, beside others: ``python -m loadtest.slowloris``.

Steady traffic in rounds, by turns alone and with the slow ones, who send a byte of a field each second and come again
when they are thrown out. The others may not fail, nor wait noticeably longer; each slow one is answered 408 by
`client.head_timeout` at the latest, however often it sends a byte. The slow ones are a process of their own: in the
others' event loop they would delay the clients that measure, and not only the node; so it has the lowest priority, too.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass, field
from functools import partial
from typing import cast

from rich.console import Console

from loadtest.churn import print_phases
from loadtest.node import free_port, running_node
from loadtest.traffic import Counts, Mix, Traffic

CONFIG = """\
version: 1
node: {{name: slowloris, data_dir: "{{data_dir}}"}}
admin: {{bind: "{{admin}}"}}
store: {{url: "sqlite:///{{data_dir}}/tollgate.db"}}
client: {{head_timeout: {head_timeout_s}s}}
accounts: [{{id: acme, currency: USD, activated_at: "2019-11-10T17:13:14+08:00", opening: {{cash: "1000.00"}}}}]
instances:
  - id: own
    account: acme
    type: dedicated
    spec: dedicated-2500
    region: ap-guangzhou
    charge: payg
    workers: 1
    entry: [{{bind: "127.0.0.1:{port}", network: internet}}]
services:
  - {{id: calm, instance: own, upstream: {{targets: [{{url: "http://127.0.0.1:{origins[0]}"}}]}}}}
"""
ALONE, BESIDE = "alone", "with the slow ones"
_BEGINNING = b"GET /calm/bytes/200 HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
_TICK_S = 0.004


@dataclass(frozen=True)
class Size:
    mix: Mix = field(default_factory=lambda: Mix(rate=300, connections=30, slow_share=0.0))
    slow: int = 1000
    seconds: float = 12.0  # of each part of a round
    rounds: int = 3
    head_timeout_s: int = 4
    byte_interval_s: float = 1.0


@dataclass
class Slow:
    """What became of the slow connections; those that were still under way when a part ended are in ``opened`` only."""

    opened: int = 0
    refused: int = 0  # answered 408 and closed
    cut: int = 0  # closed with any other word, or without one
    longest_s: float = 0.0


class _Dripping(asyncio.Protocol):
    def __init__(self, crowd: _Crowd) -> None:
        self._crowd = crowd
        self._opened_at = time.monotonic()
        self._heard = b""
        self._transport: asyncio.Transport | None = None
        self._is_leaving = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(_BEGINNING)
        self._crowd.slow.opened += 1

    def drip(self) -> None:
        if self._transport is not None:
            self._transport.write(b"x")

    def data_received(self, data: bytes) -> None:
        self._heard += data

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._crowd.members.remove(self)
        if not self._crowd.members:
            self._crowd.is_empty.set()
        slow = self._crowd.slow
        if self._is_leaving:
            return
        slow.longest_s = max(slow.longest_s, time.monotonic() - self._opened_at)
        if self._heard.startswith(b"HTTP/1.1 408 "):
            slow.refused += 1
        else:
            slow.cut += 1

    def leave(self) -> None:
        self._is_leaving = True
        if self._transport is not None:
            self._transport.abort()


class _Crowd:
    """The slow ones: as many as asked for at any time, each with its byte in its turn, so that none come in a rush."""

    def __init__(self, port: int, size: Size) -> None:
        self.members: list[_Dripping] = []
        self.slow = Slow()
        self.is_empty = asyncio.Event()
        self.is_empty.set()
        self._port, self._size = port, size

    async def run(self, seconds: float) -> Slow:
        loop = asyncio.get_running_loop()
        ends_at = time.monotonic() + seconds
        turn = due = 0.0
        last = time.monotonic()
        while time.monotonic() < ends_at:
            now = time.monotonic()
            due += (now - last) / self._size.byte_interval_s * self._size.slow
            last = now
            while due >= 1:
                due -= 1
                if len(self.members) < self._size.slow:
                    _, member = await loop.create_connection(lambda: _Dripping(self), "127.0.0.1", self._port)
                    self.members.append(member)
                elif self.members:
                    turn = (turn + 1) % len(self.members)
                    self.members[int(turn)].drip()
            await asyncio.sleep(_TICK_S)
        if self.members:
            self.is_empty.clear()
        for member in list(self.members):
            member.leave()
        await self.is_empty.wait()
        return self.slow


def _crowd(port: int, size: Size) -> Slow:
    return asyncio.run(_Crowd(port, size).run(size.seconds))


async def _measure(port: int, size: Size, report: Callable[[str], None]) -> tuple[dict[str, Counts], Slow]:
    traffic = Traffic(port, "/calm", size.mix)
    phases = {ALONE: Counts(), BESIDE: Counts()}
    crowds: list[Slow] = []
    loop = asyncio.get_running_loop()
    apart = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=os.nice, initargs=(19,))
    await loop.run_in_executor(apart, os.getpid)  # Started before anything is measured.
    sending = asyncio.ensure_future(traffic.run())
    try:
        await asyncio.sleep(min(1.0, size.seconds))  # Connections are made, code is warm.
        for number in range(size.rounds):
            report(f"round {number + 1} of {size.rounds}: {ALONE}")
            traffic.counts = phases[ALONE]
            await asyncio.sleep(size.seconds)
            report(f"round {number + 1} of {size.rounds}: {BESIDE}")
            traffic.counts = phases[BESIDE]
            crowds.append(await loop.run_in_executor(apart, _crowd, port, size))
    finally:
        traffic.stop()
        await sending
        apart.shutdown()
    return phases, _together(crowds)


def _together(crowds: list[Slow]) -> Slow:
    opened, refused, cut, stays = zip(*(astuple(crowd) for crowd in crowds), strict=True)
    return Slow(sum(opened), sum(refused), sum(cut), max(stays))


def slowloris(size: Size, report: Callable[[str], None] = lambda _: None) -> tuple[dict[str, Counts], Slow]:
    port = free_port()
    make: partial[str] = partial(CONFIG.format, port=port, head_timeout_s=size.head_timeout_s)
    with running_node(lambda origins: make(origins=origins), origins=1):
        return asyncio.run(_measure(port, size, report))


def main() -> int:
    full = Size()
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--slow", type=int, default=full.slow, help="slow connections")
    ask.add_argument("--seconds", type=float, default=full.seconds, help="of each part of a round")
    ask.add_argument("--rounds", type=int, default=full.rounds)
    given = ask.parse_args()
    console = Console()
    with console.status("starting the node") as status:
        phases, slow = slowloris(Size(slow=given.slow, seconds=given.seconds, rounds=given.rounds), status.update)
    print_phases(console, phases)
    alone, beside = (phases[name].percentile_ms(0.99) for name in (ALONE, BESIDE))
    console.print(
        f"slow ones: {slow.opened} opened, {slow.refused} answered 408, {slow.cut} closed otherwise; "
        f"the longest stayed {slow.longest_s:.2f} s of {full.head_timeout_s} s\n"
        f"p99 of the others: {alone:.2f} ms alone, {beside:.2f} ms with {given.slow} slow ones, "
        f"ratio {beside / alone:.2f}; {os.cpu_count()} CPUs for all"
    )
    return int(any(counts.failed for counts in phases.values()) or slow.refused == 0)


if __name__ == "__main__":
    sys.exit(main())
