"""A full table, 2,000 services of 100 routes: what a request costs in it, how it starts and changes, what it takes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import statistics
import time
import urllib.request
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from loadtest.bench import machine, peers, table
from loadtest.bench.node import Gateway
from loadtest.bench.peers import Peer
from loadtest.bench.runner import Row
from loadtest.bench.stage import Facts, Plan, Run, Stage
from loadtest.bench.wrk import Load

LIVE_S_MAX: Final = 240.0
ROUNDS_MIN: Final = 7  # What is asked of the ratios is less than two rounds may lie apart.
_POLL_S: Final = 0.01


def plan(stage: Stage) -> Plan:
    """Paths of one service and of many, beside one route alone, and nginx with a location for each service."""
    alone = {gateway.build: gateway for gateway in stage.gateways}
    full = stage.start_gateways("routes", table.services())
    at_start = {gateway.build: _pss_mib(gateway) for gateway in full}
    for gateway in full:
        _ask_every_service(gateway)
    loads = {gateway.build: _loads(gateway) for gateway in full}
    one_route = {build: _one_route(gateway) for build, gateway in alone.items()}
    runs = [run for build in loads for run in beside(one_route.get(build), loads[build])]
    runs += [run for peer in stage.start_peers([peers.FULL_NGINX]) for run in _control(peer)]

    def facts(rows: Sequence[Row]) -> Facts:
        by_target = {row.target: row for row in rows}
        return {
            gateway.build: {
                **against(by_target, one_route.get(gateway.build), loads[gateway.build]),
                "start, s": round(gateway.start_s, 1),
                "service added over the API, s": round(live_s(gateway, add), 2),
                "file with one changed, s": round(live_s(gateway, reload), 1),
                "worker at start, MiB": at_start[gateway.build],
                "worker with every service asked, MiB": _pss_mib(gateway),
                **({"worker with one route, MiB": _pss_mib(alone[gateway.build])} if gateway.build in alone else {}),
            }
            for gateway in full
        }

    return Plan(runs, facts, ROUNDS_MIN)


def _one_route(alone: Gateway) -> Run:
    return Run(f"{alone.build}: one route", alone.url, Load(("/bare/hello",)), alone.pids)


def _loads(full: Gateway) -> list[Run]:
    return [
        Run(f"{full.build}: {what}", full.url, Load(paths=asked, distinct=len(asked) * copies), full.pids)
        for what, asked, copies in (
            ("one path of 200,000", table.paths(1), 4096),
            ("2,000 paths of one service", table.paths_within(1), 2),
            ("of 100 services", table.paths_within(100), 2),
            ("of all services", table.paths(table.WARM_PATHS), 2),
            ("20,000 paths", table.paths(table.COLD_PATHS), 1),
        )
    ]


def beside(one: Run | None, loads: Sequence[Run]) -> list[Run]:
    """Each load next to the one that it is compared with, which comes once for two of them.

    A machine's speed drifts by more within a round of all than is asked of the ratios.
    """
    if one is None:
        return list(loads)
    turns = [one, loads[0]]
    for at in range(1, len(loads), 2):
        turns += [loads[at], one, *loads[at + 1 : at + 2]]
    return turns


def against(rows: dict[str, Row], one: Run | None, loads: Sequence[Run]) -> dict[str, float]:
    """What a request of each load costs, divided by one of the run beside it: the median over the rounds."""
    base = None if one is None else rows[one.target]
    if base is None or base.error is not None:
        return {}
    in_round = len(loads) // 2 + 1
    return {
        f"{run.target.partition(': ')[2]} ÷ one route": round(
            statistics.median(
                sample.cpu_us / base.samples[number * in_round + (at + 1) // 2].cpu_us
                for number, sample in enumerate(rows[run.target].samples)
            ),
            3,
        )
        for at, run in enumerate(loads)
        if rows[run.target].error is None
    }


def _control(nginx: Peer) -> list[Run]:
    """What the machine makes of a table as large: each service has its own connections upstream, as ours have."""
    return [
        Run(f"nginx: {what}", nginx.url, Load(paths=asked, distinct=4096), nginx.pids)
        for what, asked in (
            ("one path", table.paths(1)),
            ("2,000 paths of one service", table.paths_within(1)),
            ("of 100 services", table.paths_within(100)),
            ("of all services", table.paths(table.WARM_PATHS)),
        )
    ]


def _ask_every_service(gateway: Gateway) -> None:
    """A service's routes are read at its first request: that is a cost of the start, and none of each request."""
    connection = http.client.HTTPConnection(urlsplit(gateway.url).netloc, timeout=10)
    for path in table.paths(table.SERVICES):
        connection.request("GET", path)
        connection.getresponse().read()
    connection.close()


def _pss_mib(gateway: Gateway) -> float:
    return round(machine.pss_bytes(gateway.pids) / 2**20, 1)


def add(gateway: Gateway) -> str:
    """Adds a service over the admin API; a path of it."""
    settings = json.loads(gateway.config.read_text())
    service = {**settings["services"][0], "id": "added"}
    request = urllib.request.Request(
        f"{gateway.admin_url}/v1/services",
        json.dumps(service).encode(),
        {"Authorization": f"Bearer {gateway.token}", "Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=LIVE_S_MAX).close()
    return f"/added{table.route(1)}"


def reload(gateway: Gateway) -> str:
    """Has the node read its file, of which one service has changed; a path that only the new one has."""
    settings = json.loads(gateway.config.read_text())
    settings["services"][0]["path"] = "/moved"
    gateway.config.write_text(json.dumps(settings, indent=1))
    os.kill(gateway.control_pid, signal.SIGHUP)
    return f"/moved{table.route(1)}"


def live_s(gateway: Gateway, act: Callable[[Gateway], str]) -> float:
    """Seconds from ``act`` until the worker knows the path that it returned. Raises TimeoutError."""
    begun = time.monotonic()
    path = act(gateway)
    connection = http.client.HTTPConnection(urlsplit(gateway.url).netloc, timeout=10)
    try:
        while True:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            taken_s = time.monotonic() - begun
            if answer.status == http.client.OK:
                return taken_s
            if taken_s > LIVE_S_MAX:
                raise TimeoutError(f"{path} was not there {LIVE_S_MAX:.0f} s after the change")
            time.sleep(_POLL_S)
    finally:
        connection.close()
