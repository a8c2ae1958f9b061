"""RULES L8 from outside: ``python -m loadtest.isolation``.

Steady traffic on a dedicated instance, first alone, then with a flood on the shared instance whose workers are killed
meanwhile. The dedicated instance may notice it in its times, as all share one machine, and not in a single error.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from rich.console import Console

from loadtest.churn import print_phases
from loadtest.node import Child, Node, free_port, kill_worker, running_node
from loadtest.traffic import Counts, Mix, Traffic

CONFIG = """\
version: 1
node: {{name: isolation, data_dir: "{{data_dir}}"}}
entry: [{{bind: "127.0.0.1:{shared}", network: internet}}]
shared_workers: 1
admin: {{bind: "{{admin}}"}}
store: {{url: "sqlite:///{{data_dir}}/tollgate.db"}}
drain: 3s
accounts: [{{id: acme, currency: USD, activated_at: "2019-11-10T17:13:14+08:00", opening: {{cash: "1000.00"}}}}]
instances:
  - {{id: crowd, account: acme, type: shared, region: ap-guangzhou}}
  - id: own
    account: acme
    type: dedicated
    spec: dedicated-2500
    region: ap-guangzhou
    charge: payg
    workers: 1
    entry: [{{bind: "127.0.0.1:{own}", network: internet}}]
services:
  - {{id: flooded, instance: crowd, upstream: {{targets: [{{url: "http://127.0.0.1:{origins[0]}"}}]}}}}
  - {{id: calm, instance: own, upstream: {{targets: [{{url: "http://127.0.0.1:{origins[1]}"}}]}}}}
"""


@dataclass(frozen=True)
class Size:
    mix: Mix = field(default_factory=lambda: Mix(rate=200, connections=20, slow_share=0.0))
    seconds: float = 15.0
    kills: int = 5


@dataclass
class Isolation:
    """``phases``: the dedicated instance alone, and with the flood. ``flood``: sent, admitted, refused, broken."""

    phases: dict[str, Counts]
    flood: tuple[int, int, int, int]
    killed: int


async def _measure(node: Node, own: int, shared: int, size: Size, report: Callable[[str], None]) -> Isolation:
    traffic = Traffic(own, "/calm", size.mix)
    phases: dict[str, Counts] = {}
    sending = asyncio.ensure_future(traffic.run())
    try:
        report("the dedicated instance alone")
        traffic.counts = phases["alone"] = Counts()
        await asyncio.sleep(size.seconds)
        report(f"with a flood on the shared instance and {size.kills} kill -9 of its worker")
        traffic.counts = phases["with the flood"] = Counts()
        arguments = ["--port", str(shared), "--path", "/flooded/bytes/100", "--seconds", str(size.seconds)]
        flood = Child(["loadtest.flood", *arguments], stdout=subprocess.PIPE, text=True)
        try:
            killed = await _kill_now_and_then(node, shared, size)
            printed, _ = await asyncio.to_thread(flood.process.communicate)
        finally:
            flood.stop()
    finally:
        traffic.stop()
        await sending
    sent, admitted, refused, broken = map(int, printed.split())
    return Isolation(phases, (sent, admitted, refused, broken), killed)


async def _kill_now_and_then(node: Node, shared: int, size: Size) -> int:
    killed: set[int] = set()
    ends_at = time.monotonic() + size.seconds
    while len(killed) < size.kills and time.monotonic() < ends_at:
        await asyncio.sleep(size.seconds / (size.kills + 1))
        (slot,) = await node.workers("shared")
        if slot["is_serving"] and slot["pid"] not in killed:
            kill_worker(slot["pid"], shared)
            killed.add(slot["pid"])
    return len(killed)


def isolation(size: Size, report: Callable[[str], None] = lambda _: None) -> Isolation:
    shared, own = free_port(), free_port()
    make: partial[str] = partial(CONFIG.format, shared=shared, own=own)
    with running_node(lambda origins: make(origins=origins), origins=2) as (node, _):
        return asyncio.run(_measure(node, own, shared, size, report))


def main() -> int:
    full = Size()
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--seconds", type=float, default=full.seconds, help="of each of the two parts")
    ask.add_argument("--kills", type=int, default=full.kills)
    given = ask.parse_args()
    console = Console()
    with console.status("starting the node") as status:
        done = isolation(Size(seconds=given.seconds, kills=given.kills), status.update)
    print_phases(console, done.phases)
    sent, admitted, refused, broken = done.flood
    console.print(
        f"flood: {sent} requests in {given.seconds:g} s, {admitted} admitted, {refused} refused, {broken} cut by "
        f"{done.killed} kills; {full.mix.rate:g} requests/s on the dedicated instance; {os.cpu_count()} CPUs for all"
    )
    return int(any(counts.failed or counts.unannounced for counts in done.phases.values()))


if __name__ == "__main__":
    sys.exit(main())
