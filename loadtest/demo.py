"""`tollgate demo`: real origins, a real node, real traffic past both limits, an hour that closes, and its bill.

Everything it prints is checked against what its own client counted; it exits 1 when anything does not add up.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from loadtest.client import Tally, drive, get
from loadtest.processes import stop_in_order

CLOCK_RATE = 180  # An hour passes in 20 s.
LEAD_S = 60  # Virtual seconds of the hour gone when the node starts.
SHARED_RATE, SHARED_SECONDS = 600, 4
DEDICATED_SECONDS = 3
ANSWER_BYTES = 2048

CONFIG = """\
version: 1
node: {{name: demo, data_dir: ./data}}
entry:
  - {{bind: "127.0.0.1:{shared}", network: internet}}
shared_workers: 1
admin: {{bind: "127.0.0.1:{admin}"}}
store: {{url: "sqlite:///./data/tollgate.db"}}
billing: {{price_book: usd, timezone: Asia/Shanghai, egress_basis: application}}
clock: {{rate: {rate}, offset: {offset}s}}     # an hour in {hour_s:.0f} s
drain: 3s
accounts:
  # Activated years ago, so that its twelve free months are over and every call costs something.
  - {{id: acme, currency: USD, activated_at: "2019-11-10T17:13:14+08:00", opening: {{cash: "100.00"}}}}
instances:
  - {{id: acme-shared, account: acme, type: shared, region: ap-guangzhou}}
  - id: acme-dedicated
    account: acme
    type: dedicated
    spec: dedicated-2500
    region: ap-guangzhou
    charge: payg
    entry: [{{bind: "127.0.0.1:{dedicated}", network: internet}}]
    workers: 1
services:
  - id: catalogue
    instance: acme-shared
    path: /catalogue
    qps: 400
    upstream: {{network: internet, targets: [{{url: "http://127.0.0.1:{origin_a}"}}]}}
  - id: checkout
    instance: acme-dedicated
    path: /checkout
    upstream: {{targets: [{{url: "http://127.0.0.1:{origin_a}"}}, {{url: "http://127.0.0.1:{origin_b}"}}]}}
"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def _process(arguments: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-m", *arguments], text=True, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class _Admin:
    """The node's admin API as the demo uses it."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token

    def get(self, path: str) -> Any:
        request = urllib.request.Request(self._url + path, headers={"Authorization": f"Bearer {self._token}"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read())

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(self._url + "/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _until(ask: Callable[[], bool], what: str, seconds: float, tick: Callable[[], None] = lambda: None) -> None:
    deadline = time.monotonic() + seconds
    while not ask():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {seconds:.0f} s: {what}")
        tick()
        time.sleep(0.1)


def run(keep: bool = False) -> int:
    """Runs the demo; returns the exit code. With ``keep`` the node runs on until Ctrl-C, SIGTERM, or until the terminal
    is closed. However it ends, what it started ends too.
    """
    stop_in_order()
    console = Console()
    started = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-demo-")))
        origins = []
        for _ in range(2):
            origin = stack.enter_context(_process(["loadtest.origin"], stdout=subprocess.PIPE))
            assert origin.stdout is not None
            stack.callback(origin.stdout.close)
            origins.append(int(origin.stdout.readline()))
        ports = {name: _free_port() for name in ("shared", "dedicated", "admin")}
        now = time.time()
        config = folder / "demo.yaml"
        config.write_text(
            CONFIG.format(
                **ports,
                origin_a=origins[0],
                origin_b=origins[1],
                rate=CLOCK_RATE,
                offset=int(3600 - now % 3600 + LEAD_S),
                hour_s=3600 / CLOCK_RATE,
            )
        )
        token = secrets.token_urlsafe(24)
        log = stack.enter_context((folder / "node.log").open("w"))
        node = stack.enter_context(
            _process(
                ["gateway.main", "serve", "-c", str(config)],
                stdout=log,
                stderr=log,
                env={**os.environ, "TOLLGATE_ADMIN_TOKEN": token},
            )
        )
        admin = _Admin(f"http://127.0.0.1:{ports['admin']}", token)
        try:
            tallies, usage, bill = _traffic_and_bill(console, node, admin, ports)
        except (RuntimeError, OSError) as error:
            console.print(f"[red]The demo failed: {error}[/red]")
            console.print((folder / "node.log").read_text()[-3000:], markup=False)
            return 1
        _print_traffic(console, tallies)
        _print_usage(console, usage)
        _print_bill(console, bill)
        sums_up = _audit(console, tallies, usage, bill)
        console.print(f"\nDone in {time.monotonic() - started:.0f} s.")
        if keep:
            console.print(
                f"Console  http://127.0.0.1:{ports['admin']}/  (token: {token})\n"
                f"Metrics  http://127.0.0.1:{ports['admin']}/metrics\n"
                f"Traffic  curl -i http://127.0.0.1:{ports['shared']}/catalogue/bytes/100\n"
                "Ctrl-C ends it."
            )
            try:
                node.wait()
            except KeyboardInterrupt:
                pass
        else:
            console.print(
                f"The console was at http://127.0.0.1:{ports['admin']}/ and the metrics at /metrics; to keep the node "
                "running and look:  [bold]make demo ARGS=--keep[/bold]"
            )
        return 0 if sums_up else 1


def _traffic_and_bill(
    console: Console, node: subprocess.Popen[str], admin: _Admin, ports: dict[str, int]
) -> tuple[dict[str, Tally], list[dict[str, Any]], dict[str, Any]]:
    with Progress(
        SpinnerColumn(), TextColumn("{task.description:<44}"), BarColumn(), TimeElapsedColumn(), console=console
    ) as progress:
        step = progress.add_task("starting the node", total=None)

        def ready() -> bool:
            if node.poll() is not None:
                raise RuntimeError("the node ended at start")
            return admin.is_ready()

        _until(ready, "the node is ready", 30)
        progress.update(step, total=1, completed=1)

        def traffic(name: str, text: str, path: str, seconds: float, rate: float) -> Tally:
            row = progress.add_task(text, total=seconds)
            begun = time.monotonic()
            tally = asyncio.run(
                drive(
                    ports[name],
                    get(path),
                    seconds=seconds,
                    rate=rate,
                    connections=16,
                    progress=lambda _: progress.update(row, completed=time.monotonic() - begun),
                )
            )
            progress.update(row, completed=seconds)
            return tally

        tallies = {
            "acme-shared": traffic(
                "shared",
                f"shared, 400 QPS: {SHARED_RATE} requests a second",
                f"/catalogue/bytes/{ANSWER_BYTES}",
                SHARED_SECONDS,
                SHARED_RATE,
            ),
            "acme-dedicated": traffic(
                "dedicated",
                "dedicated, 2,500 QPS: as many as come back",
                f"/checkout/bytes/{ANSWER_BYTES}",
                DEDICATED_SECONDS,
                0,
            ),
        }
        step = progress.add_task("the hour closes and is settled", total=None)
        sent = sum(tally.sent for tally in tallies.values())

        def counted() -> bool:
            return bool(sum(row["calls"] + sum(row["frontend_errors"].values()) for row in _usage(admin)) >= sent)

        _until(counted, "every request shows in the usage", 10)
        last_hour = max(row["hour"] for row in _usage(admin))

        def settled() -> bool:
            hours = {item["hour"] for item in admin.get("/v1/settlements?account=acme")["items"]}
            return bool(last_hour in hours)

        _until(settled, "the hour is settled", 40)
        progress.update(step, total=1, completed=1)
        hours = {item["hour"] for item in admin.get("/v1/settlements?account=acme")["items"]}
        bill = admin.get("/v1/bills?account=acme")
        return tallies, [row for row in _usage(admin) if row["hour"] in hours or row["account"] == "-"], bill


def _usage(admin: _Admin) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = admin.get("/v1/usage")["items"]
    return items


def _egress(row: dict[str, Any], side: str, network: str | None = None) -> int:
    return sum(
        item["bytes"]
        for item in row["egress"]
        if item["side"] == side and item["basis"] == "application" and network in (None, item["network"])
    )


def _print_traffic(console: Console, tallies: dict[str, Tally]) -> None:
    table = Table(title="What the client saw")
    for column in ("instance", "sent", "200", "429", "other", "broken", "bytes read"):
        table.add_column(column, justify="left" if column == "instance" else "right")
    for name, tally in tallies.items():
        other = tally.answered - tally.completed[200] - tally.completed[429]
        numbers = (
            tally.sent,
            tally.completed[200],
            tally.completed[429],
            other,
            tally.broken,
            tally.bytes_read,
        )
        table.add_row(name, *(f"{number:,}" for number in numbers))
    console.print(table)


def _print_usage(console: Console, usage: list[dict[str, Any]]) -> None:
    table = Table(title="What the gateway metered (tollgate usage)")
    for column in ("hour", "service", "calls", "errors", "to client", "to backend", "refused"):
        table.add_column(column, justify="left" if column in ("hour", "service") else "right", no_wrap=True)
    for row in usage:
        errors = sum(row["frontend_errors"].values())
        numbers = (row["calls"], errors, *(_egress(row, side) for side in ("client", "backend", "refused")))
        table.add_row(row["hour"][5:16], row["service"], *(f"{number:,}" for number in numbers))
    console.print(table)


def _lines(bill: dict[str, Any]) -> list[dict[str, Any]]:
    account = bill["accounts"]["acme"] if "accounts" in bill else bill
    return [line for month in account["bills"].values() for line in month["lines"]]


def _print_bill(console: Console, bill: dict[str, Any]) -> None:
    table = Table(title="The bill (tollgate bill), USD")
    for column in ("hour", "instance", "meter", "quantity", "price", "amount"):
        is_text = column in ("hour", "instance", "meter")
        # A number with its end cut off would be another number; text may fold.
        table.add_column(column, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    per = {1: "s", 10_000: "10K", 1 << 30: "GB"}
    for line in _lines(bill):
        price = f"{line['unit_price']}/{per[line['per']]}"
        when = line["hour"][11:16]
        table.add_row(when, line["instance"], line["meter"], f"{line['quantity']:,}", price, line["amount"])
    console.print(table)


def _audit(console: Console, tallies: dict[str, Tally], usage: list[dict[str, Any]], bill: dict[str, Any]) -> bool:
    """Sent, bytes and money, each from both sides. The money is computed here anew, by decimals, from the usage."""
    sent = sum(tally.sent for tally in tallies.values())
    counted = sum(row["calls"] + sum(row["frontend_errors"].values()) for row in usage)
    read = sum(tally.bytes_read for tally in tallies.values())
    egress = sum(_egress(row, "client") + _egress(row, "refused") for row in usage)  # X11: refusals are not billed
    lines = _lines(bill)
    shared = [row for row in usage if row["instance"] == "acme-shared"]
    dedicated = [row for row in usage if row["instance"] == "acme-dedicated"]
    calls = sum(row["calls"] for row in shared)
    # B21: 0.0089 for 10,000 calls; B23: 0.12 for a GB in this region, B7: both ways on shared; B8: to clients only.
    billed_bytes = sum(_egress(row, "client", "internet") + _egress(row, "backend", "internet") for row in shared)
    billed_bytes += sum(_egress(row, "client", "internet") for row in dedicated)
    seconds = sum(line["quantity"] for line in lines if line["meter"] == "instance_seconds")
    per_second = next(
        (Decimal(line["unit_price"]) for line in lines if line["meter"] == "instance_seconds"), Decimal(0)
    )
    by_hand = (
        _rounded(Decimal(calls) * Decimal("0.0089") / 10_000)
        + _rounded(Decimal(billed_bytes) * Decimal("0.12") / 2**30)
        + seconds * per_second
    )
    billed = sum((Decimal(line["amount"]) for line in lines), Decimal(0))
    checks = [
        ("requests: sent = calls + front-end errors", f"{sent:,}", f"{counted:,}", sent == counted),
        ("bytes: read by the client = egress", f"{read:,}", f"{egress:,}", read == egress),
        ("money: by hand from the usage = the bill", f"{by_hand:.8f}", f"{billed:.8f}", by_hand == billed),
    ]
    table = Table(title="Does it add up?")
    for column in ("", "outside", "tollgate", ""):
        table.add_column(column, justify="right" if column in ("outside", "tollgate") else "left")
    for text, outside, inside, is_equal in checks:
        table.add_row(text, outside, inside, "[green]yes[/green]" if is_equal else "[red]NO[/red]")
    console.print(table)
    return all(check[3] for check in checks)


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("1e-8"), ROUND_HALF_UP)
