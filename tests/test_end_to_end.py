"""The main job on a real node: traffic in, usage and a bill out; kills in between lose nothing."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

from loadtest.client import Tally, drive, get
from tests.node import Node, free_port, node, origin, totals, until

CONFIG = """\
version: 1
node: {{name: node-1, data_dir: ./data}}
entry: [{{bind: "127.0.0.1:{shared}", network: internet}}]
shared_workers: 2
admin: {{bind: "127.0.0.1:{admin}"}}
store: {{url: "sqlite:///./data/tollgate.db"}}
billing: {{price_book: usd, timezone: Asia/Shanghai, egress_basis: application}}
clock: {{rate: {rate}, offset: 0s}}
drain: 3s
accounts:
  - {{id: acme, currency: USD, activated_at: "2019-11-10T17:13:14+08:00", opening: {{cash: "100.00"}}}}
instances:
  - {{id: shared-1, account: acme, type: shared, region: ap-guangzhou}}
  - id: dedicated-1
    account: acme
    type: dedicated
    spec: dedicated-2500
    region: ap-guangzhou
    charge: payg
    entry: [{{bind: "127.0.0.1:{dedicated}", network: internet}}]
    workers: 1
services:
  - {{id: a, instance: shared-1, upstream: {{network: internet, targets: [{{url: "http://127.0.0.1:{origin}"}}]}}}}
  - {{id: b, instance: dedicated-1, upstream: {{targets: [{{url: "http://127.0.0.1:{origin}"}}]}}}}
"""


class Ports:
    def __init__(self, origin: int) -> None:
        self.shared, self.dedicated, self.admin, self.origin = free_port(), free_port(), free_port(), origin


@pytest.fixture(scope="module")
def origin_port() -> Iterator[int]:
    with origin() as port:
        yield port


def start(folder: Path, ports: Ports, rate: int) -> Iterator[Node]:
    with node(folder, CONFIG.format(**vars(ports), rate=rate), ports.admin) as running:
        yield running


@pytest.fixture
def ports(origin_port: int) -> Ports:
    return Ports(origin_port)


@pytest.fixture
def running(tmp_path: Path, ports: Ports) -> Iterator[Node]:
    yield from start(tmp_path, ports, 1)


@pytest.fixture
def fast(tmp_path: Path, ports: Ports) -> Iterator[Node]:
    """An hour passes in 6 seconds."""
    yield from start(tmp_path, ports, 600)


def usage(running: Node) -> dict[str, int]:
    return totals(running.call("GET", "/v1/usage")[1]["items"])


def sent_to_clients(now: dict[str, int]) -> int:
    return now["egress_client"] + now["egress_refused"]


def counted(running: Node) -> int:
    now = usage(running)
    return now["calls"] + now["frontend_errors"]


def test_what_the_client_counted_is_what_the_usage_says(running: Node, ports: Ports) -> None:
    """Over two workers, past the limit: to the call and to the byte."""
    tally = asyncio.run(drive(ports.shared, get("/a/bytes/700"), count=1500, connections=8))
    tally += asyncio.run(drive(ports.dedicated, get("/b/bytes/3000"), count=700, connections=4))
    tally += asyncio.run(drive(ports.shared, get("/nowhere"), count=20, connections=1))
    assert set(tally.completed) == {200, 404, 429}
    until(lambda: counted(running) == tally.sent, "sent = calls + front-end errors", 5)
    now = usage(running)
    assert now["calls"] == tally.completed[200]
    assert sent_to_clients(now) == tally.bytes_read
    assert now["egress_refused"] > 100 * tally.completed[429], "of refusals inside a service"
    assert now["ingress"] == tally.bytes_sent
    _, text = running.call("GET", "/metrics")
    metric = sum(float(value) for value in re.findall(r"^tollgate_calls_total\{.*\} (\S+)$", text, re.M))
    assert metric == tally.completed[200]


def test_a_limit_is_one_limit_over_two_workers(running: Node, ports: Ports) -> None:
    tally = asyncio.run(drive(ports.shared, get("/a/bytes/1"), seconds=2, rate=800, connections=16))
    assert tally.broken == 0
    assert 0.98 * 500 * 2 <= tally.completed[200] <= 500 * 2.2 + 50 + 1


def test_kill_9_of_workers_under_load_loses_no_completed_call(running: Node, ports: Ports) -> None:
    """Completed at the client <= counted <= sent; the killed workers' counts are in the files they leave."""
    killed: list[int] = []
    stop = threading.Event()

    def kill() -> None:
        while len(killed) < 6 and not stop.wait(0.4):
            pids = [pid for pid in running.worker_pids("shared") if pid not in killed]
            if pids:
                os.kill(pids[0], signal.SIGKILL)
                killed.append(pids[0])

    killer = threading.Thread(target=kill)
    killer.start()
    tally: Tally = asyncio.run(drive(ports.shared, get("/a/bytes/100"), seconds=4, rate=450, connections=16))
    stop.set()
    killer.join()
    assert len(killed) >= 4
    assert tally.answered > 500
    until(lambda: counted(running) >= tally.answered, "completed <= counted", 5)
    until(lambda: len(running.worker_pids("shared")) == 2, "the pool is whole again", 5)
    assert tally.answered <= counted(running) <= tally.sent
    assert tally.sent - tally.answered <= tally.broken, "only what was in flight is missing"


def test_a_killed_control_process_stops_nobody_and_loses_nothing(running: Node, ports: Ports) -> None:
    first = asyncio.run(drive(ports.shared, get("/a/bytes/100"), count=100, connections=2))
    running.process.send_signal(signal.SIGKILL)
    running.process.wait()
    orphaned = asyncio.run(drive(ports.shared, get("/a/bytes/100"), count=100, connections=2))
    assert orphaned.answered == 100
    running.restart()
    after = asyncio.run(drive(ports.shared, get("/a/bytes/100"), count=100, connections=2))
    tally = first + orphaned + after
    until(lambda: counted(running) == tally.sent, "every request of both lives is counted", 10)
    assert sent_to_clients(usage(running)) == tally.bytes_read


def test_an_hour_closes_and_its_bill_is_the_usage_times_the_prices(fast: Node, ports: Ports) -> None:
    tally = asyncio.run(drive(ports.shared, get("/a/bytes/50000"), count=200, connections=4))
    until(lambda: counted(fast) == tally.sent, "counted", 5)
    hours = {row["hour"] for row in fast.call("GET", "/v1/usage")[1]["items"] if row["calls"]}

    def settled() -> bool:
        items = fast.call("GET", "/v1/settlements?account=acme")[1]["items"]
        return hours <= {item["hour"] for item in items}

    until(settled, "every hour with calls is settled", 30)
    _, bill = fast.call("GET", "/v1/bills?account=acme")
    account = bill["accounts"]["acme"] if "accounts" in bill else bill
    lines = [line for month in account["bills"].values() for line in month["lines"]]
    by_meter = {
        meter: [line for line in lines if line["meter"] == meter]
        for meter in ("calls", "egress_client", "egress_backend")
    }
    now = usage(fast)
    assert sum(line["quantity"] for line in by_meter["calls"]) == now["calls"] == tally.completed[200]
    assert sum(line["quantity"] for line in by_meter["egress_client"]) == now["egress_client"]
    assert sent_to_clients(now) == tally.bytes_read
    assert sum(line["quantity"] for line in by_meter["egress_backend"]) == now["egress_backend"]
    money = {meter: sum(Decimal(line["amount"]) for line in found) for meter, found in by_meter.items()}
    assert money["calls"] == Decimal(now["calls"]) * Decimal("0.0089") / 10_000
    egress = Decimal(now["egress_client"] + now["egress_backend"]) * Decimal("0.12") / 2**30
    assert money["egress_client"] + money["egress_backend"] == egress.quantize(Decimal("1e-8"), ROUND_HALF_UP)


def test_services_are_made_and_removed_over_the_api(running: Node, ports: Ports) -> None:
    document = {
        "id": "made",
        "instance": "shared-1",
        "upstream": {"targets": [{"url": f"http://127.0.0.1:{ports.origin}"}]},
    }
    status, _ = running.call("POST", "/v1/services", document)
    assert status == 201

    def answers(wanted: int) -> bool:
        tally = asyncio.run(drive(ports.shared, get("/made/bytes/1"), count=4, connections=4))
        return tally.completed[wanted] == 4

    until(lambda: answers(200), "live on every worker", 2)
    assert running.call("POST", "/v1/services", document)[0] == 409
    status, problem = running.call("POST", "/v1/services", {**document, "id": "bad", "upstream": {}})
    assert status == 422, problem
    assert running.call("DELETE", "/v1/services/made")[0] in (200, 204)
    until(lambda: answers(404), "gone from every worker", 2)


def test_the_admin_api_wants_its_token(running: Node) -> None:
    assert running.call("GET", "/v1/usage", fields={"Authorization": "Bearer wrong"})[0] == 401
    assert running.call("GET", "/healthz", fields={"Authorization": ""})[0] == 200
