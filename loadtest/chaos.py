"""Kills under load, and whether anything was lost: ``python -m loadtest.chaos``.

A counting client sends requests through a node of two workers while workers, and now and then the control process, are
killed with SIGKILL at random moments. Then, of what the client saw and what the node counted:

* completed at the client <= counted <= sent, for requests;
* read by the client <= counted, and counted - read <= what the broken requests' answers could be, for bytes;
* after that, without kills: equal, to the request and to the byte.

Exits 1 when one of them does not hold. Prints the seed, and takes one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from loadtest.client import Tally, drive, get

ANSWER_BYTES = 500
ANSWER_BYTES_MAX = ANSWER_BYTES + 1000  # with its head
SETTLE_S_MAX = 30.0  # until counters have reached the store and the pool is whole
CONFIG = """\
version: 1
node: {{name: chaos, data_dir: ./data}}
entry: [{{bind: "127.0.0.1:{unused}", network: internet}}]
shared_workers: 1
admin: {{bind: "127.0.0.1:{admin}"}}
store: {{url: "sqlite:///./data/tollgate.db"}}
billing: {{price_book: usd, timezone: Asia/Shanghai, egress_basis: application}}
drain: 2s
accounts:
  - {{id: acme, currency: USD, activated_at: "2019-11-10T17:13:14+08:00", opening: {{cash: "100000.00"}}}}
instances:
  - id: target
    account: acme
    type: dedicated
    spec: dedicated-50000
    region: ap-guangzhou
    charge: payg
    entry: [{{bind: "127.0.0.1:{entry}", network: internet}}]
    workers: 2
services:
  - {{id: a, instance: target, upstream: {{network: internet, targets: [{{url: "http://127.0.0.1:{origin}"}}]}}}}
"""


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    requests: int
    worker_kills: int
    control_kills: int
    rate: float
    connections: int
    seed: int


@dataclass
class Outcome:
    """What came of it: claims by name, with the figures that they are about."""

    claims: list[tuple[str, bool, str]] = field(default_factory=list)
    killed_workers: int = 0
    killed_controls: int = 0

    @property
    def is_good(self) -> bool:
        return all(holds for _, holds, _ in self.claims)

    def claim(self, name: str, holds: bool, figures: str) -> None:
        self.claims.append((name, holds, figures))


class _Node:
    """`tollgate serve` in a folder, whose control process may be killed and started again."""

    def __init__(self, folder: Path, config: str, admin: int) -> None:
        self._folder = folder
        self._admin = f"http://127.0.0.1:{admin}"
        self._token = secrets.token_urlsafe(24)
        (folder / "chaos.yaml").write_text(config)
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._folder / "node.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "gateway.main", "serve", "-c", str(self._folder / "chaos.yaml")],
                stdout=log,
                stderr=log,
                env={**os.environ, "TOLLGATE_ADMIN_TOKEN": self._token},
            )

    def kill_control(self) -> None:
        """Kills it and starts the next one on the same data_dir; returns when that serves."""
        self.process.kill()
        self.process.wait()
        self.process = self._start()
        self.wait_ready()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + SETTLE_S_MAX
        while True:
            try:
                self.ask("/readyz")
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the node does not serve:\n{self.log()}") from None
                time.sleep(0.05)

    def ask(self, path: str) -> Any:
        request = urllib.request.Request(self._admin + path, headers={"Authorization": f"Bearer {self._token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def worker_pids(self) -> list[int]:
        """Live workers of the target's pool, those of an earlier control process too."""
        pids = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                is_zombie = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
            if b"gateway.worker" not in words or is_zombie:
                continue
            boot = json.loads(words[words.index(b"gateway.worker") + 1])
            if Path(boot["data_dir"]).resolve() == (self._folder / "data").resolve() and boot["pool"] != "shared":
                pids.append(int(entry.name))
        return sorted(pids)

    def counted(self) -> tuple[int, int]:
        """(requests, bytes to clients), by the usage of every hour."""
        rows = self.ask("/v1/usage")["items"]
        requests = sum(row["calls"] + sum(row["frontend_errors"].values()) for row in rows)
        sent = sum(
            item["bytes"]
            for row in rows
            for item in row["egress"]
            if item["side"] in ("client", "refused") and item["basis"] == "application"
        )
        return requests, sent

    def settled(self, at_least: int) -> tuple[int, int]:
        """What is counted once it has reached ``at_least`` requests and moves no more."""
        deadline = time.monotonic() + SETTLE_S_MAX
        before = (-1, -1)
        while (now := self.counted()) != before or now[0] < at_least:
            before = now
            if time.monotonic() > deadline:
                break
            time.sleep(1.2)  # Longer than from a count to the store.
        return before

    def log(self) -> str:
        return (self._folder / "node.log").read_text()[-3000:]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in self.worker_pids():
            os.kill(pid, signal.SIGKILL)


class _Killer(threading.Thread):
    """Kills at moments spread over the run: after so many requests were sent, a random number each time."""

    def __init__(self, node: _Node, plan: Plan, tally: Tally, outcome: Outcome) -> None:
        super().__init__(name="killer")
        self._node = node
        self._tally = tally
        self._outcome = outcome
        self._chance = random.Random(plan.seed)
        # The last tenth of the run is left for whole workers, so that the run ends.
        reach = plan.requests * 9 // 10
        acts = ["worker"] * plan.worker_kills + ["control"] * plan.control_kills
        self._chance.shuffle(acts)
        self._acts = list(zip(sorted(self._chance.randrange(reach) for _ in acts), acts, strict=True))
        self.failed: BaseException | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            for at, act in self._acts:
                while self._tally.sent < at and not self.ended.wait(0.002):
                    pass
                if act == "control":
                    self._node.kill_control()
                    self._outcome.killed_controls += 1
                else:
                    self._kill_worker()
        except BaseException as error:
            self.failed = error

    def _kill_worker(self) -> None:
        deadline = time.monotonic() + SETTLE_S_MAX
        while time.monotonic() < deadline:
            pids = self._node.worker_pids()
            if pids:
                os.kill(self._chance.choice(pids), signal.SIGKILL)
                self._outcome.killed_workers += 1
                return
            time.sleep(0.01)


def run(plan: Plan, console: Console) -> Outcome:
    """One run, with everything started and stopped."""
    outcome = Outcome()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-chaos-")))
        ports = {name: _free_port() for name in ("entry", "unused", "admin")}
        ports["origin"] = stack.enter_context(_origin())
        node = _Node(folder, CONFIG.format(**ports), ports["admin"])
        stack.callback(node.stop)
        node.wait_ready()
        tally = _killing(node, plan, ports["entry"], outcome, console)
        counted = node.settled(tally.answered)
        _claims(outcome, plan, tally, counted)
        still = asyncio.run(
            drive(ports["entry"], get(f"/a/bytes/{ANSWER_BYTES}"), count=max(100, plan.requests // 20), connections=8)
        )
        after = node.settled(counted[0] + still.sent)
        requests, read = after[0] - counted[0], after[1] - counted[1]
        outcome.claim("without kills, to the request", requests == still.sent, f"{still.sent} sent, {requests} counted")
        outcome.claim(
            "without kills, to the byte", read == still.bytes_read, f"{still.bytes_read} read, {read} counted"
        )
        if not outcome.is_good:
            console.print(node.log(), markup=False)
    return outcome


def _killing(node: _Node, plan: Plan, port: int, outcome: Outcome, console: Console) -> Tally:
    tally = Tally()
    killer = _Killer(node, plan, tally, outcome)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        sending = progress.add_task("requests", total=plan.requests)
        killing = progress.add_task("kills", total=plan.worker_kills + plan.control_kills)

        def show(now: Tally) -> None:
            tally.sent = now.sent
            progress.update(sending, completed=now.sent)
            progress.update(killing, completed=outcome.killed_workers + outcome.killed_controls)

        killer.start()
        try:
            request = get(f"/a/bytes/{ANSWER_BYTES}")
            done = asyncio.run(
                drive(
                    port,
                    request,
                    count=plan.requests,
                    connections=plan.connections,
                    rate=plan.rate,
                    progress=show,
                )
            )
            tally.sent = done.sent
        finally:
            killer.ended.set()
            killer.join()
        show(done)
    if killer.failed is not None:
        raise killer.failed
    return done


def _claims(outcome: Outcome, plan: Plan, tally: Tally, counted: tuple[int, int]) -> None:
    requests, sent_bytes = counted
    outcome.claim(
        "as many kills as planned",
        (outcome.killed_workers, outcome.killed_controls) == (plan.worker_kills, plan.control_kills),
        f"{outcome.killed_workers} workers, {outcome.killed_controls} control processes",
    )
    outcome.claim("requests were completed", tally.answered > tally.sent // 2, f"{tally.answered} of {tally.sent}")
    outcome.claim("completed <= counted", tally.answered <= requests, f"{tally.answered} <= {requests}")
    outcome.claim("counted <= sent", requests <= tally.sent, f"{requests} <= {tally.sent}")
    beyond, bound = sent_bytes - tally.bytes_read, tally.broken * ANSWER_BYTES_MAX
    outcome.claim("bytes read <= counted", beyond >= 0, f"{tally.bytes_read} <= {sent_bytes}")
    outcome.claim("the rest was in flight", beyond <= bound, f"{beyond} <= {bound}, of {tally.broken} broken requests")


@contextmanager
def _origin() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-m", "loadtest.origin"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def show(console: Console, plan: Plan, outcome: Outcome) -> None:
    table = Table(title=f"{plan.requests} requests, seed {plan.seed}")
    for heading in ("claim", "", "figures"):
        table.add_column(heading)
    for name, holds, figures in outcome.claims:
        table.add_row(name, "[green]holds[/green]" if holds else "[red]broken[/red]", figures)
    console.print(table)


def main(arguments: list[str] | None = None) -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--requests", type=int, default=200_000)
    ask.add_argument("--worker-kills", type=int, default=100)
    ask.add_argument("--control-kills", type=int, default=10)
    ask.add_argument("--rate", type=float, default=1500, help="requests a second")
    ask.add_argument("--connections", type=int, default=32)
    ask.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    plan = Plan(**vars(ask.parse_args(arguments)))
    # A run that is asked to end stops what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    console = Console()
    console.print(f"seed {plan.seed}")
    outcome = run(plan, console)
    show(console, plan, outcome)
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
