"""What clients notice when everything behind them changes: ``python -m loadtest.churn``.

Under mixed traffic the configuration is reloaded, the workers are restarted and killed, a target dies and returns. No
request may fail but those in flight in a killed worker, and no connection at rest may be closed without a
`Connection: close` before. Exit code 1 when any did.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from loadtest.node import Child, Node, free_port, kill_worker, running_node
from loadtest.traffic import Counts, Mix, Traffic, row_of

POOL = "acme-dedicated"
CHANGE_S_MAX = 60.0
# A worker that lives less counts as an early death, and its slot's next start is put off.
SOUND_LIFE_S = 1.2
REPLACING_RELOAD_EVERY = 5  # The others change services only, which no worker is replaced for.

CONFIG = """\
version: 1
node: {{name: churn, data_dir: "{{data_dir}}"}}
entry: [{{bind: "127.0.0.1:{shared}", network: internet}}]
shared_workers: 1
admin: {{bind: "{{admin}}"}}
store: {{url: "sqlite:///{{data_dir}}/tollgate.db"}}
drain: {drain_s}s
client: {{idle_timeout: {idle_s}s}}
accounts: [{{id: acme, currency: USD, activated_at: "2019-11-10T17:13:14+08:00", opening: {{cash: "1000.00"}}}}]
instances:
  - id: {pool}
    account: acme
    type: dedicated
    spec: dedicated-2500
    region: ap-guangzhou
    charge: payg
    workers: 2
    entry: [{{bind: "127.0.0.1:{entry}", network: internet}}]
services:
  - id: orders
    instance: {pool}
    upstream:
      targets: [{{url: "http://127.0.0.1:{origins[0]}"}}, {{url: "http://127.0.0.1:{origins[1]}"}}]
  - {{id: other, instance: {pool}, path: /other-{revision}, upstream: {{targets: [{{url: "http://127.0.0.1:9"}}]}}}}
"""


@dataclass(frozen=True)
class Size:
    """How much of each."""

    mix: Mix = field(default_factory=Mix)
    drain_s: float = 10.0
    quiet_s: float = 5.0
    reloads: int = 20
    restarts: int = 5
    kills: int = 20
    target_s: float = 5.0  # how long the target is dead, and then watched


Report = Callable[[str, int, int], None]  # phase, done, of


class Churn:
    """One run. ``phases`` are the counts by phase, filled as it goes."""

    def __init__(self, node: Node, origins: list[Child], traffic: Traffic, make: partial[str], size: Size) -> None:
        self.phases: dict[str, Counts] = {}
        self._node, self._origins, self._traffic = node, origins, traffic
        self._make, self._size = make, size
        self._entry: int = make.keywords["entry"]
        self._revision = 0

    async def run(self, report: Report) -> None:
        size = self._size
        steps: list[tuple[str, int, Callable[[], Awaitable[None]]]] = [
            ("quiet", 1, lambda: asyncio.sleep(size.quiet_s)),
            ("reloads (SIGHUP)", size.reloads, self._reload),
            ("rolling restarts", size.restarts, self._restart),
            ("kill -9 of workers", size.kills, self._kill),
            ("a target dies, returns", 1, self._target),
        ]
        sending = asyncio.ensure_future(self._traffic.run())
        try:
            for name, times, step in steps:
                self._traffic.counts = self.phases[name] = Counts()
                for done in range(times):
                    report(name, done, times)
                    await step()
                report(name, times, times)
            self._traffic.counts = self.phases["the end"] = Counts()
        finally:
            self._traffic.stop()
            await sending

    async def _reload(self) -> None:
        """Live on every worker when this returns."""
        self._revision += 1
        before = {slot["pid"]: slot["snapshot"] for slot in await self._node.workers(POOL)}
        idle_s = 75 + self._revision // REPLACING_RELOAD_EVERY
        self._node.write(self._make(revision=self._revision, idle_s=idle_s))
        self._node.process.send_signal(signal.SIGHUP)

        async def is_taken_up() -> bool:
            slots = await self._node.workers(POOL)
            if self._revision % REPLACING_RELOAD_EVERY == 0:
                return all(slot["pid"] not in before for slot in slots)
            return all(slot["snapshot"] > before.get(slot["pid"], 0) for slot in slots)

        await _until(is_taken_up)

    async def _restart(self) -> None:
        await self._node.ask("POST", "/v1/workers/restart")

    async def _kill(self) -> None:
        """The pool is whole again when this returns."""
        slots = await self._node.workers(POOL)
        victim = slots[self._revision % len(slots)]["pid"]
        self._revision += 1
        self._traffic.excuse(kill_worker(victim, self._entry))

        async def is_whole() -> bool:
            now = await self._node.workers(POOL)
            return all(slot["is_serving"] and slot["pid"] != victim for slot in now)

        killed_at = time.monotonic()
        await _until(is_whole)
        await asyncio.sleep(max(0.0, SOUND_LIFE_S - (time.monotonic() - killed_at)))

    async def _target(self) -> None:
        await asyncio.to_thread(self._origins[0].kill)
        await asyncio.sleep(self._size.target_s)
        self._origins[0].start()
        await asyncio.sleep(self._size.target_s)


async def _until(claim: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(CHANGE_S_MAX):
        while not await claim():  # noqa: ASYNC110  (a claim about another process)
            await asyncio.sleep(0.05)


def churn(size: Size, report: Report = lambda *_: None) -> dict[str, Counts]:
    """Runs it; the counts by phase."""
    entry, shared = free_port(), free_port()
    makers: list[partial[str]] = []

    def make_text(origins: list[int]) -> str:
        makers.append(
            partial(CONFIG.format, pool=POOL, shared=shared, entry=entry, origins=origins, drain_s=size.drain_s)
        )
        return makers[0](revision=0, idle_s=75)

    with running_node(make_text, origins=2) as (node, origins):
        run = Churn(node, origins, Traffic(entry, "/orders", size.mix), makers[0], size)
        asyncio.run(run.run(report))
        return run.phases


def print_phases(console: Console, phases: dict[str, Counts]) -> None:
    # A pipe has no width: there, lines are as long as they are.
    if not console.is_terminal:
        console.width = 160
    table = Table(box=None, pad_edge=False)
    table.add_column("phase", no_wrap=True)
    for title in ("sent", "completed", "cut by a kill", "failed", "unannounced", "p50 ms", "p99 ms", "max ms"):
        table.add_column(title, justify="right")
    for name, counts in phases.items():
        table.add_row(*map(str, row_of(name, counts)))
    console.print(table)
    for name, counts in phases.items():
        for reason, number in counts.reasons.most_common():
            console.print(f"[red]{name}: {number} × {reason}[/red]")


def main() -> int:
    full = Size()
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--rate", type=float, default=full.mix.rate, help="requests a second")
    for name in ("reloads", "restarts", "kills"):
        ask.add_argument(f"--{name}", type=int, default=getattr(full, name))
    given = ask.parse_args()
    size = Size(Mix(rate=given.rate), reloads=given.reloads, restarts=given.restarts, kills=given.kills)
    console = Console()
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        rows: dict[str, int] = {}

        def report(name: str, done: int, of: int) -> None:
            if name not in rows:
                rows[name] = progress.add_task(name, total=of)
            progress.update(rows[name], completed=done)  # type: ignore[arg-type]

        phases = churn(size, report)
    print_phases(console, phases)
    console.print(f"{given.rate:g} requests/s offered, on {os.cpu_count()} CPUs")
    return int(any(counts.failed or counts.unannounced for counts in phases.values()))


if __name__ == "__main__":
    sys.exit(main())
