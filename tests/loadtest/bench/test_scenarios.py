"""Every scenario says whom it measures, and what it starts for that."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadtest.bench import half_load, machine, node, origin, routes, runner, scale, table
from loadtest.bench.node import STEPS, Gateway
from loadtest.bench.peers import Peer, make_certificate
from loadtest.bench.runner import Row, Sample
from loadtest.bench.scenarios import SCENARIOS
from loadtest.bench.stage import Run, Stage
from loadtest.bench.wrk import Load, Seen
from loadtest.processes import Processes, free_ports
from tests.installed import needed


class Standing(Stage):
    """Proxies that are only named, this process in place of each; what was to be started is written down."""

    started: list[tuple[str, dict[str, Any]]]
    first: list[tuple[int, ...]]  # who was to come first on its CPU

    def start_gateways(
        self, name: str, services: list[dict[str, Any]], *, origin_port: int = 0, **settings: Any
    ) -> list[Gateway]:
        self.started.append((name, settings))
        config = self.folder / "tollgate.yaml"
        pids = (os.getpid(),)
        return [
            Gateway(build, f"http://{name}", f"https://{name}", pids, 1.0, "http://admin", "token", 1, config)
            for build in node.BUILDS
        ]

    def start_peers(self, names: Sequence[str], *, origin_port: int = 0) -> list[Peer]:
        return [Peer(name, f"http://{name}", f"https://{name}", (os.getpid(),)) for name in names]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Standing:
    names = ("nginx", "caddy")
    made = Standing(Processes(tmp_path), tmp_path, 1, builds=list(node.BUILDS), peer_names=names, seconds=1)
    made.started, made.first = [], []
    monkeypatch.setattr(scale, "at_rest_bytes", lambda *_: 2560.0)
    monkeypatch.setattr(routes, "_ask_every_service", lambda _: None)
    monkeypatch.setattr(machine, "come_first", made.first.append)
    monkeypatch.setattr(runner, "measure", lambda runs, *_: [measured(run.target, 1.0, 30_149) for run in runs])
    return made


def measured(target: str, p99_ms: float, requests_per_s: float = 100.0) -> Row:
    return Row(target, [Sample(Seen(100, requests_per_s, 0.5, p99_ms, late_p99_ms=0.25), 10.0, 0.0)])


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_every_scenario_measures_both_builds_and_no_target_of_two_names(name: str, stage: Standing) -> None:
    runs = SCENARIOS[name].plan(stage).runs
    by_target = {run.target: run for run in runs}
    assert all(by_target[run.target] == run for run in runs)
    assert len(by_target) == len(runs) or name == "routes"
    for build in node.BUILDS:
        assert any(build in run.target for run in runs)
    assert all(run.url.startswith("https:") == (name == "tls") for run in runs)
    with_peers = name not in {"features", "workers"}
    assert any(run.target.startswith("nginx") for run in runs) == with_peers


def test_features_are_steps_and_then_the_log(stage: Standing) -> None:
    runs = SCENARIOS["features"].plan(stage).runs
    assert len(runs) == (len(STEPS) + 1) * len(node.BUILDS)
    assert runs[-1].target == "compiled: key + access log"
    assert ("log", {"has_log": True}) in stage.started


def test_connections_are_of_fresh_proxies_each_count_of_all_in_turn(stage: Standing) -> None:
    plan = SCENARIOS["connections"].plan(stage)
    assert [run.load.connections for run in plan.runs] == [n for n in scale.CONNECTIONS for _ in range(3)]
    assert [run.seconds_min for run in plan.runs] == [0.0] * 6 + [scale.MANY_S_MIN] * 6
    assert [name for name, _ in stage.started] == ["connections"]
    assert plan.facts([])["nginx"] == {"one of 5,000 connections at rest, KiB": 2.5}


def test_workers_are_one_and_two(stage: Standing) -> None:
    runs = SCENARIOS["workers"].plan(stage).runs
    assert [run.target for run in runs] == [
        "plain: 1 worker",
        "compiled: 1 worker",
        "plain: 2 workers",
        "compiled: 2 workers",
    ]
    assert stage.started[1] == ("workers-2", {"workers": 2})


def test_half_load_is_half_of_our_most_for_both_and_one_nginx_for_two_builds_of_one_speed(stage: Standing) -> None:
    plan = SCENARIOS["p99"].plan(stage)
    assert [run.target for run in plan.runs] == [
        "tollgate plain, 15,100/s",
        "nginx, 15,100/s",
        "tollgate compiled, 15,100/s",
    ]
    assert {run.rate for run in plan.runs} == {15_100}
    assert plan.rounds_min >= 7
    assert stage.first == [(os.getpid(),)] * 3, "nothing else of the machine keeps either of them waiting"
    assert len({run.origin_port for run in plan.runs} - {0}) == 1, "the client is the origin of all"


def test_what_lies_between_is_by_round() -> None:
    ours, theirs = Run("a", "http://a", Load(), (), 100), Run("b", "http://b", Load(), (), 100)
    rows = {"a": measured("a", 0), "b": measured("b", 0)}
    for row, p99s in ((rows["a"], (1.0, 9.0, 3.0)), (rows["b"], (0.5, 1.0, 2.75))):
        row.samples = [measured("", p99).samples[0] for p99 in p99s]
    assert half_load.apart(rows, ours, theirs) == {"p99 behind nginx's, ms": 0.5, "client late, p99 ms": 0.25}
    rows["b"].error = "gone"
    assert half_load.apart(rows, ours, theirs) == {"client late, p99 ms": 0.25}
    assert half_load.apart({**rows, "a": Row("a", error="gone")}, ours, theirs) == {}


def test_each_load_of_the_full_table_is_next_to_the_one_route_that_it_is_divided_by(stage: Standing) -> None:
    plan = SCENARIOS["routes"].plan(stage)
    assert plan.rounds_min >= 7
    for build in node.BUILDS:
        targets = [run.target for run in plan.runs if run.target.startswith(build)]
        one = f"{build}: one route"
        assert targets[0] == one and targets.count(one) == 3
        assert all(one in targets[max(0, at - 1) : at + 2] for at in range(len(targets)))


@pytest.mark.parametrize("count", range(1, 6))
def test_a_load_is_divided_by_the_run_beside_it_whatever_the_machine_did_meanwhile(count: int) -> None:
    """Each run is a little slower than the one before, and each round much."""
    one, loads = (
        Run("one", "http://one", Load(), ()),
        [Run(f"b: {at}", "http://full", Load(), ()) for at in range(count)],
    )
    rows = {run.target: Row(run.target) for run in (one, *loads)}
    cpu_us = 10.0
    for _ in range(3):
        cpu_us *= 1.5
        for run in routes.beside(one, loads):
            cpu_us *= 1.001
            rows[run.target].samples.append(replace(measured("", 1.0).samples[0], cpu_us=cpu_us))
    found = routes.against(rows, one, loads)
    assert list(found) == [f"{at} ÷ one route" for at in range(count)]
    assert set(found.values()) <= {1.001, 0.999}
    rows["b: 0"].error = "gone"
    assert len(routes.against(rows, one, loads)) == count - 1
    rows["one"].error = "gone"
    assert routes.against(rows, one, loads) == {} == routes.against(rows, None, loads)


def test_the_paths_of_the_full_table_hit_its_routes() -> None:
    paths = table.paths(200, services=5, routes=7)
    assert len(set(paths)) > 100
    known = {f"/service-{service}{table.route(route)}" for service in range(5) for route in range(7)}
    for path in paths:
        head, _, last = path.rpartition("/")
        assert path in known or f"{head}/{{id}}" in known, last
    within = table.paths_within(5, 200, routes=7)
    assert len(set(within)) == 200 and {path.split("/")[1] for path in within} == {f"service-{at}" for at in range(5)}
    assert {"/".join([*path.split("/")[:4], "{id}"]) for path in within} <= known
    made = table.services(5, 7)
    assert len(made) == 5 and {len(service["routes"]) for service in made} == {7}


def test_changes_of_a_running_node_are_live_when_their_time_is_taken(tmp_path: Path) -> None:
    """A small table of the same shape: a service added over the API, then the file with a change in it."""
    for program in ("nginx", "openssl", "taskset"):
        needed(program)
    (port,) = free_ports(1)
    make_certificate(tmp_path)
    with Processes(tmp_path) as processes:
        origin.start(processes, tmp_path, port)
        gateway = node.start(processes, tmp_path, port, "plain", table.services(3, 3))
        assert 0 < routes.live_s(gateway, routes.add) < routes.LIVE_S_MAX
        assert 0 < routes.live_s(gateway, routes.reload) < routes.LIVE_S_MAX
        assert scale.at_rest_bytes(gateway, "/moved" + table.route(1), count=50) >= 0
