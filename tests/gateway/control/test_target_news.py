"""A whole node and its targets: probes and ejections, from a dead target to the metric (L9, DESIGN 1.6)."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.control.configuration import config_text
from tests.gateway.proxy.origins import Origin, naming, origin_of
from tests.gateway.proxy.test_upstreams import Load
from tests.node import Node, free_port, node, until


@pytest.fixture
def origins() -> Iterator[tuple[Origin, Origin]]:
    with origin_of(naming("a")) as a, origin_of(naming("b")) as b:
        yield a, b


def text(ports: dict[str, int], origins: tuple[Origin, Origin], more: str) -> str:
    one = f'upstream: {{targets: [{{url: "http://127.0.0.1:{ports["origin"]}"}}]}}\n    routes'
    whole = config_text(**ports, cash="100.00")
    assert one in whole
    urls = ", ".join(f'{{url: "http://127.0.0.1:{origin.port}"}}' for origin in origins)
    whole = whole.replace("    qps: 100\n", "").replace(", qps: 50}", "}").replace(", qps: 300}", "}")
    return whole.replace(one, f"upstream: {{targets: [{urls}], {more}}}\n    routes")


def up(running: Node, origin: Origin) -> str:
    page = running.call("GET", "/metrics")[1]
    name = re.escape(f'tollgate_upstream_target_up{{service="orders",target="http://127.0.0.1:{origin.port}"}} ')
    found = re.search(rf"^{name}(\S+)$", page, re.M)
    return found[1] if found else ""


@pytest.fixture
def ports(origins: tuple[Origin, Origin]) -> dict[str, int]:
    return {name: free_port() for name in ("shared", "dedicated", "admin", "origin")}


def test_probes_take_a_dead_target_out_and_back_and_clients_see_nothing(
    tmp_path: Path, origins: tuple[Origin, Origin], ports: dict[str, int]
) -> None:
    a, b = origins
    health = "health: {path: /healthz, interval: 200ms, failures: 2, successes: 2}"
    with (
        node(tmp_path, text(ports, origins, health), ports["admin"]) as running,
        Load(ports["shared"], "/orders/x", clients=2, pause_s=0.01) as load,
    ):
        load.answered(50)
        assert (up(running, a), up(running, b)) == ("1", "1")
        b.stop()
        until(lambda: up(running, b) == "0", "the probes find it down")
        assert up(running, a) == "1"
        load.answered(50)
        load.names.clear()
        b.start()
        until(lambda: up(running, b) == "1", "the probes find it well")
        until(lambda: load.names[b"b"] > 10, "it is used again")
        # Without health in the file there are no more probes.
        running.config.write_text(text(ports, origins, "retries: 2"))
        running.process.send_signal(signal.SIGHUP)
        until(lambda: "is taken up" in running.log.read_text(), "the file is taken up")
        load.answered(20)
        load.stop()
        assert set(load.statuses) == {200}

        def calls() -> int:
            return sum(row["calls"] for row in running.call("GET", "/v1/usage")[1]["items"])

        until(lambda: calls() == load.statuses.total(), "probes are no calls")


def test_probes_that_fail_everywhere_are_503_until_one_is_well(
    tmp_path: Path, origins: tuple[Origin, Origin], ports: dict[str, int]
) -> None:
    health = "health: {interval: 100ms, failures: 1, successes: 1}, retries: 0"
    with node(tmp_path, text(ports, origins, health), ports["admin"]) as running:
        for origin in origins:
            origin.stop()
        until(lambda: {up(running, origin) for origin in origins} == {"0"}, "both are down")
        with Load(ports["shared"], "/orders/x", clients=1, pause_s=0.01) as load:
            until(lambda: load.statuses[503] > 5, "there is no healthy target")
            origins[0].start()
            until(lambda: load.statuses[200] > 5, "there is one again")
        origins[1].start()


def test_an_ejection_by_a_worker_shows_for_as_long_as_that_worker_holds_it(
    tmp_path: Path, origins: tuple[Origin, Origin], ports: dict[str, int]
) -> None:
    """Without probes: what the workers found is what is known, and a worker that died knows nothing."""
    a, b = origins
    with node(tmp_path, text(ports, origins, "retries: 1"), ports["admin"]) as running:
        with Load(ports["shared"], "/orders/x", clients=2, pause_s=0.01) as load:
            load.answered(20)
            b.stop()
            until(lambda: up(running, b) == "0", "a worker ejects it")
            assert up(running, a) == "1"
            b.start()
        assert set(load.statuses) == {200}
        assert up(running, b) == "0"  # for ten seconds, and then until a trial
        for pid in running.worker_pids("shared"):
            os.kill(pid, signal.SIGKILL)
        until(lambda: up(running, b) == "1", "nobody holds anything against it")
