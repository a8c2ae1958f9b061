"""Limits of a whole node, from outside: changed while it runs, shown, and kept over deaths."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.limits.setting import Setting
from tests.node import ROOT, TOKEN, Node, free_port, node, origin, until

KEY = hashlib.sha256(b"k1").hexdigest()
CONFIG = """\
version: 1
node: {{name: limits, data_dir: ./data}}
entry: [{{bind: "127.0.0.1:{shared}", network: internet}}]
shared_workers: 2
admin: {{bind: "127.0.0.1:{admin}"}}
store: {{url: "sqlite:///./data/tollgate.db"}}
drain: 1s
accounts:
  - {{id: acme, currency: USD, activated_at: "2019-11-10T17:13:14+08:00", opening: {{cash: "100.00"}}}}
instances: [{{id: one, account: acme, type: shared, region: ap-guangzhou}}]
services:
  - {{id: open, instance: one, qps: {qps}, upstream: &up {{targets: [{{url: "http://127.0.0.1:{origin}"}}]}}}}
  - {{id: tried, instance: one, qps: 1, limit_mode: shadow, upstream: *up}}
  - id: keyed
    instance: one
    auth: {{type: key, keys: [{{id: k1, sha256: "{key}", qps: 400, quota: {{calls: 7, per: month}}}}]}}
    upstream: *up
"""


class Running:
    def __init__(self, made: Node, ports: dict[str, int]) -> None:
        self.node = made
        self.ports = ports

    def get(self, path: str) -> tuple[int, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports['shared']}{path}", headers={"X-Api-Key": "k1"})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers

    def limits(self) -> dict[str, dict[str, Any]]:
        """By service and level."""
        status, listed = self.node.call("GET", "/v1/limits")
        assert status == 200
        return {f"{row['service']} {row['level']}": row for row in listed["items"]}

    def metric(self, name: str, **labels: str) -> float:
        """A series' value; 0 where there is none."""
        _, text = self.node.call("GET", "/metrics")
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return 0.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with origin() as origin_port:
        ports = {"shared": free_port(), "admin": free_port(), "origin": origin_port}
        text = CONFIG.format(**ports, key=KEY, qps=1)
        with node(tmp_path_factory.mktemp("limits"), text, ports["admin"]) as made:
            yield Running(made, ports)


def tollgate(running: Running, *arguments: str) -> str:
    environment = {**os.environ, "TOLLGATE_ADMIN_TOKEN": TOKEN, "TOLLGATE_ADMIN": running.node.admin}
    done = subprocess.run(
        [sys.executable, "-m", "gateway.main", *arguments],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment,
        check=True,
        text=True,
        timeout=60,
    )
    return done.stdout


def test_a_limit_is_changed_while_it_refuses_and_holds_at_once(running: Running) -> None:
    while running.get("/open/bytes/1")[0] == 200:
        pass
    running.node.config.write_text(CONFIG.format(**running.ports, key=KEY, qps=400))
    running.node.process.send_signal(signal.SIGHUP)
    until(lambda: running.limits()["open service"]["qps"] == 400, "the raised limit is in force", 10)
    admitted: list[int] = []

    def ten_are_admitted() -> bool:
        admitted.extend(status for status in [running.get("/open/bytes/1")[0]] if status == 200)
        return len(admitted) == 10

    # At 1 a second they would take 10 seconds.
    until(ten_are_admitted, "what 1 a second had lent is not waited for", 5)
    # The table is set before the workers are told: what they say of it comes a moment later.
    until(lambda: '"service";q=400;w=1' in running.get("/open/bytes/1")[1]["RateLimit-Policy"], "it is said, too", 10)
    running.node.config.write_text(CONFIG.format(**running.ports, key=KEY, qps=1))
    running.node.process.send_signal(signal.SIGHUP)
    until(lambda: running.limits()["open service"]["qps"] == 1, "the lowered limit is in force", 10)
    began = time.monotonic()
    admitted = [running.get("/open/bytes/1")[0] for _ in range(20)].count(200)
    # 1 a second and 2 at once; and what each of two workers may have held of 400 a second, once.
    assert admitted <= time.monotonic() - began + 2 + 2 * (Setting(400, 100, 2).lease - 1)


def test_limits_are_shown_as_they_stand(running: Running) -> None:
    for _ in range(10):
        assert running.get("/tried/bytes/1")[0] == 200
    limits = running.limits()
    assert set(limits) == {"None instance", "open service", "tried service", "keyed key", "keyed quota"}
    assert limits["tried service"]["mode"] == "shadow"
    assert limits["None instance"]["admitted_last_minute"] >= 10
    assert 0 < limits["None instance"]["headroom"] <= 51
    assert json.loads(tollgate(running, "limits", "--json"))[0].keys() == limits["None instance"].keys()
    table = tollgate(running, "limits")
    assert "shadow" in table
    assert "7 a month" in table

    def would_be_refused() -> bool:
        name = "tollgate_limit_shadow_refusals_total"
        return running.metric(name, instance="one", service="tried", level="service") >= 5

    def are_admitted() -> bool:
        return running.metric("tollgate_limit_admitted_total", instance="one", service="-", level="instance") >= 10

    until(would_be_refused, "what the limit would have refused is in the metrics")
    until(are_admitted, "what was admitted is, too")


def test_a_quota_counts_on_over_the_deaths_of_workers_and_of_the_control_process(running: Running) -> None:
    assert [running.get("/keyed/bytes/1")[0] for _ in range(3)] == [200] * 3
    for pid in running.node.worker_pids():
        os.kill(pid, signal.SIGKILL)
    assert running.limits()["keyed quota"]["quota"]["used"] == 3
    until(lambda: running.node.call("GET", "/readyz")[0] == 200, "the workers are back")
    assert running.get("/keyed/bytes/1")[0] == 200
    running.node.process.kill()
    running.node.process.wait()
    running.node.restart()
    until(lambda: len(running.node.worker_pids()) == 2, "the workers of before have drained")
    assert [running.get("/keyed/bytes/1")[0] for _ in range(5)] == [200, 200, 200, 429, 429]
    row = running.limits()["keyed quota"]
    assert (row["headroom"], row["quota"]["used"], row["quota"]["calls"]) == (0, 7, 7)
    of = {"instance": "one", "service": "keyed"}
    refused = ("tollgate_limit_refused_total", {**of, "level": "quota"})
    errors = ("tollgate_frontend_errors_total", {**of, "code": "quota_exceeded"})
    for name, labels in (refused, errors):
        until(lambda name=name, labels=labels: running.metric(name, **labels) == 2, name)  # type: ignore[misc]
