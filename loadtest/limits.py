"""How many requests limits admit, in real runs: ``python -m loadtest.limits``.

A node with 1, 2 and 4 workers, limits of 1 to 2,500 a second, each offered 1.25 times as much for ten seconds: admitted
next to L, by second. Then an instance, a service and a route on one path under mixed load at once. Exit code 1 when a
limit let more through than its contract allows (DESIGN 1.5), or, when asked with ``--strict``, less than 0.98 L.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from loadtest.node import free_port, running_node

WORKERS = (1, 2, 4)
LIMITS = (1, 5, 50, 500, 2500)
OVERLOAD = 1.25  # times what a limit admits
CONNECTIONS = 24  # more than workers, so that each has some
BURST_MS = 100
ANSWER_S_MAX = 20.0

_CONFIG = """\
version: 1
node: {{name: limits, data_dir: "{{data_dir}}"}}
admin: {{bind: "{{admin}}"}}
store: {{url: "sqlite:///{{data_dir}}/tollgate.db"}}
drain: 1s
accounts: [{{id: acme, currency: USD, activated_at: "2019-11-10T17:13:14+08:00", opening: {{cash: "1000.00"}}}}]
instances:
  - id: own
    account: acme
    type: dedicated
    spec: dedicated-2500
    region: ap-guangzhou
    charge: payg
    workers: {workers}
    {instance_qps}
    entry: [{{bind: "127.0.0.1:{entry}", network: internet}}]
services:
"""
_SERVICE = """\
  - {{id: {id}, instance: own, qps: {qps}, upstream: {{targets: [{{url: "http://127.0.0.1:{origin}"}}]}}{more}}}
"""


@dataclass
class Stream:
    """Requests for one path at a steady rate, and when each was answered what. Seconds of the monotonic clock."""

    path: str
    rate: float
    sent: int = 0
    began_s: float = 0.0
    ended_s: float = 0.0
    admitted_s: list[float] = field(default_factory=list)
    refused: int = 0

    def by_second(self) -> list[int]:
        """Admitted in each whole second of the run."""
        seconds = [0] * max(1, round(self.ended_s - self.began_s))
        for at_s in self.admitted_s:
            seconds[min(len(seconds) - 1, int(at_s - self.began_s))] += 1
        return seconds


def most(qps: int, seconds: float) -> float:
    """What the contract lets through in a window."""
    return qps * seconds + max(1.0, qps * BURST_MS / 1000) + 1


async def run_streams(port: int, streams: Sequence[Stream], seconds: float) -> None:
    """All of them at once, for so long."""
    async with asyncio.TaskGroup() as tasks:
        for stream in streams:
            stream.began_s = time.monotonic()
            for number in range(CONNECTIONS):
                tasks.create_task(_send(port, stream, seconds), name=f"{stream.path} {number}")
    for stream in streams:
        stream.ended_s = max(stream.began_s + seconds, *stream.admitted_s, 0.0)


async def _send(port: int, stream: Stream, seconds: float) -> None:
    """One connection: takes the stream's next request when it is due, and sends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET {stream.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    try:
        while True:
            due_s = stream.began_s + stream.sent / stream.rate
            if due_s > stream.began_s + seconds:
                return
            stream.sent += 1
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            writer.write(request)
            async with asyncio.timeout(ANSWER_S_MAX):
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                at = head.index(b"\r\ncontent-length:") + 17
                await reader.readexactly(int(head[at : head.index(b"\r", at)]))
            status = int(head[9:12])
            if status == 200:
                stream.admitted_s.append(time.monotonic())
            elif status == 429:
                stream.refused += 1
            else:
                raise RuntimeError(f"{stream.path} was answered {status}")
    finally:
        writer.close()


def measure_one(workers: int, limits: Sequence[int], seconds: float) -> dict[int, Stream]:
    """By limit, one after another on the same node."""
    entry = free_port()

    def text(origins: list[int]) -> str:
        services = "".join(_SERVICE.format(id=f"l{qps}", qps=qps, origin=origins[0], more="") for qps in limits)
        return _CONFIG.format(workers=workers, entry=entry, instance_qps="") + services

    streams = {qps: Stream(f"/l{qps}/bytes/20", qps * OVERLOAD) for qps in limits}
    with running_node(text, 1):
        for stream in streams.values():
            asyncio.run(run_streams(entry, [stream], seconds))
    return streams


def measure_three(workers: int, seconds: float) -> list[tuple[str, int, list[Stream]]]:
    """An instance of 100, a service of 80 and a route of 50 on one path, each offered more than it admits at once."""
    entry = free_port()

    def text(origins: list[int]) -> str:
        routes = ", routes: [{{id: narrow, path: /bytes/1, qps: 50}}, {{id: rest, path: /*}}]"
        services = _SERVICE.format(id="a", qps=80, origin=origins[0], more=routes.replace("{{", "{").replace("}}", "}"))
        services += _SERVICE.format(id="b", qps=100, origin=origins[0], more="")
        return _CONFIG.format(workers=workers, entry=entry, instance_qps="qps: 100") + services

    narrow, rest, other = (Stream(path, 150.0) for path in ("/a/bytes/1", "/a/bytes/2", "/b/bytes/1"))
    with running_node(text, 1):
        asyncio.run(run_streams(entry, [narrow, rest, other], seconds))
    return [("instance", 100, [narrow, rest, other]), ("service", 80, [narrow, rest]), ("route", 50, [narrow])]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, nargs="*", default=WORKERS)
    parser.add_argument("--limits", type=int, nargs="*", default=LIMITS)
    parser.add_argument("--strict", action="store_true", help="fail below 0.98 L, too: for a machine that is at rest")
    arguments = parser.parse_args()
    console, seconds = Console(), arguments.seconds
    failures: list[str] = []
    table = Table(box=None, pad_edge=False)
    for title in ("workers", "L", "offered", "admitted", "of L", "at most", "by second"):
        table.add_column(title, justify="right")
    for workers in arguments.workers:
        for qps, stream in measure_one(workers, arguments.limits, seconds).items():
            admitted, lasted_s = len(stream.admitted_s), stream.ended_s - stream.began_s
            share, by_second = admitted / (qps * seconds), stream.by_second()
            table.add_row(
                str(workers),
                f"{qps:,}",
                f"{stream.sent:,}",
                f"{admitted:,}",
                f"{share:.3f}",
                f"{int(most(qps, lasted_s)):,}",
                f"{min(by_second):,} to {max(by_second):,}",
            )
            failures += _judge(f"L = {qps} with {workers} workers", admitted, qps, lasted_s, arguments.strict)
    console.print(table)
    console.print("\nthree limits on one path, 2 workers, each path offered 150 a second:")
    for level, qps, streams in measure_three(2, seconds):
        admitted = sum(len(stream.admitted_s) for stream in streams)
        lasted_s = max(stream.ended_s for stream in streams) - min(stream.began_s for stream in streams)
        console.print(f"  {level} of {qps}: {admitted} in {lasted_s:.2f} s, at most {int(most(qps, lasted_s))}")
        # What the route and the service leave of the instance is shared by all: only the instance is used up.
        failures += _judge(level, admitted, qps, lasted_s, arguments.strict and level == "instance")
    for failure in failures:
        console.print(f"[red]{failure}[/red]")
    return int(bool(failures))


def _judge(name: str, admitted: int, qps: int, lasted_s: float, is_strict: bool) -> list[str]:
    if admitted > most(qps, lasted_s):
        return [f"{name}: {admitted} admitted, {most(qps, lasted_s):.0f} at the most"]
    if is_strict and admitted < 0.98 * qps * lasted_s - 1:
        return [f"{name}: {admitted} admitted, {0.98 * qps * lasted_s:.0f} at the least"]
    return []


if __name__ == "__main__":
    sys.exit(main())
