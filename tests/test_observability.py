"""The dashboard, the alert rules and the scrape configuration, against a running node and the real Prometheus."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from loadtest.client import Tally, drive, get
from tests.installed import needed
from tests.node import ROOT, TOKEN, Node, free_port, node, origin, until
from tests.test_end_to_end import CONFIG

OBSERVABILITY = ROOT / "config" / "observability"
_NAME = re.compile(r"\btollgate_\w+")
_SUFFIXES = ("_bucket", "_sum", "_count")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, dict[str, int]]]:
    with origin() as upstream:
        ports = {name: free_port() for name in ("shared", "dedicated", "admin")}
        config = CONFIG.format(**ports, origin=upstream, rate=1)
        with node(tmp_path_factory.mktemp("node"), config, ports["admin"]) as started:
            yield started, ports


@pytest.fixture(scope="module")
def tally(running: tuple[Node, dict[str, int]]) -> Tally:
    """Traffic of every kind that the names below are about, counted and shown."""
    started, ports = running
    counted = asyncio.run(drive(ports["shared"], get("/a/bytes/700"), count=900, connections=8))
    counted += asyncio.run(drive(ports["shared"], get("/a/status/503"), count=10, connections=1, rate=50))
    counted += asyncio.run(drive(ports["shared"], get("/nowhere"), count=20, connections=1))
    until(lambda: sum_of(metrics(started), "tollgate_calls_total") >= counted.completed[200] + 10, "shown", 5)
    return counted


def metrics(started: Node, accept: str = "") -> str:
    request = urllib.request.Request(f"{started.admin}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return str(answer.read().decode())


def sum_of(text: str, name: str) -> float:
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.M))


def names_shown(text: str) -> set[str]:
    """Every sample name that the node can show: those that are there, and of families without samples theirs."""
    samples = set(re.findall(r"^(tollgate_\w+)", text, re.M))
    return samples | set(re.findall(r"^# TYPE (tollgate_\w+)", text, re.M))


def expressions() -> Iterator[tuple[str, str]]:
    dashboard = json.loads((OBSERVABILITY / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield f"panel {panel['title']}", target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]["query"]
    for group in yaml.safe_load((OBSERVABILITY / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield f"alert {rule['alert']}", rule["expr"]


def test_every_metric_named_exists(running: tuple[Node, dict[str, int]], tally: Tally) -> None:
    shown = names_shown(metrics(running[0]))
    for place, expression in expressions():
        names = set(_NAME.findall(expression))
        assert names, place
        for name in names:
            family = next((name.removesuffix(end) for end in _SUFFIXES if name.endswith(end)), name)
            assert name in shown or family in shown, f"{place}: {name} is shown by no node"


def test_openmetrics_is_what_its_reader_takes(running: tuple[Node, dict[str, int]], tally: Tally) -> None:
    text = metrics(running[0], "application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["tollgate_calls"].type == "counter"
    assert families["tollgate_account_balance"].type == "gauge"
    calls = sum(sample.value for sample in families["tollgate_calls"].samples)
    assert calls == sum_of(metrics(running[0]), "tollgate_calls_total")


def promtool(*arguments: str, content: str = "") -> None:
    done = subprocess.run([needed("promtool"), *arguments], input=content, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "error" not in done.stderr.lower(), done.stderr


def test_promtool_finds_nothing_wrong(running: tuple[Node, dict[str, int]], tally: Tally) -> None:
    promtool("check", "metrics", content=metrics(running[0]))
    promtool("check", "rules", str(OBSERVABILITY / "alerts.yaml"))
    promtool("check", "config", str(OBSERVABILITY / "prometheus.yml"))


def test_prometheus_answers_with_what_the_client_counted(
    running: tuple[Node, dict[str, int]], tally: Tally, tmp_path: Path
) -> None:
    """The real Prometheus, on the configuration that is shipped, pointed at the node."""
    started, _ = running
    port = free_port()
    config = (OBSERVABILITY / "prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(
        config.replace("127.0.0.1:8081", started.admin.removeprefix("http://")).replace("2s", "500ms")
    )
    (tmp_path / "alerts.yaml").write_text((OBSERVABILITY / "alerts.yaml").read_text())
    with (tmp_path / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                needed("prometheus"),
                f"--config.file={tmp_path}/prometheus.yml",
                f"--storage.tsdb.path={tmp_path}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:

        def ask(query: str) -> list[Any]:
            url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    return list(json.loads(answer.read())["data"]["result"])
            except OSError:
                return []

        def answers(query: str, value: float) -> bool:
            found = ask(query)
            return len(found) == 1 and float(found[0]["value"][1]) == value

        calls = tally.completed[200] + tally.completed[503]
        for query, value in (
            ('sum(tollgate_calls_total{instance="shared-1",service="a"})', calls),
            ('sum(tollgate_egress_bytes_total{side=~"client|refused",basis="application"})', tally.bytes_read),
            ("sum(tollgate_frontend_errors_total) + sum(tollgate_calls_total)", tally.sent),
            ('sum(tollgate_backend_errors_total{code="backend_5xx"})', tally.completed[503]),
            ("tollgate_request_duration_seconds_count == on (service) tollgate_calls_total", calls),
        ):
            until(lambda query=query, value=value: answers(query, value), f"{query} is {value}: {ask(query)}", 30)
        until(lambda: ask("up"), "the scrape is known", 10)
        assert [item["value"][1] for item in ask("up")] == ["1"]
    finally:
        process.terminate()
        process.wait(20)


def test_metrics_need_no_token_and_leak_none(running: tuple[Node, dict[str, int]], tally: Tally) -> None:
    assert TOKEN not in metrics(running[0])
