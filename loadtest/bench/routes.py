"""A full table, 2,000 services of 100 routes: what a request costs in it, how it starts and changes, what it takes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from loadtest.bench import machine
from loadtest.bench.node import Gateway
from loadtest.bench.runner import Row
from loadtest.bench.stage import Facts, Plan, Run, Stage
from loadtest.bench.wrk import Load

# One less than the most of the spec, 2,000: one is added while it runs.
SERVICES, ROUTES = 1999, 100
# More paths than the gateway keeps matches for (8,192), so that each request is matched anew.
COLD_PATHS: Final = 20_000
WARM_PATHS: Final = 2_000
LIVE_S_MAX: Final = 240.0
_POLL_S: Final = 0.01


def services(count: int = SERVICES, routes: int = ROUTES) -> list[dict[str, Any]]:
    """Many services of many routes, the shape of a full instance; every third route has a parameter in it."""
    return [
        {
            "id": f"service-{number}",
            "routes": [{"id": f"r{at}", "methods": ["GET"], "path": route(at)} for at in range(routes)],
        }
        for number in range(count)
    ]


def route(number: int) -> str:
    return f"/items/{number}/{{id}}" if number % 3 == 0 else f"/items/{number}/list"


def paths(count: int, services: int = SERVICES, routes: int = ROUTES) -> tuple[str, ...]:
    """Paths that hit routes all over the table, no two alike."""
    made = []
    for number in range(count):
        path = route(number * 7 % routes).replace("{id}", str(number))
        made.append(f"/service-{number * 31 % services}{path}")
    return tuple(made)


def plan(stage: Stage) -> Plan:
    """One path, few paths and many paths of the table, beside one route alone."""
    alone = {gateway.build: gateway for gateway in stage.gateways}
    full = stage.start_gateways("routes", services())
    at_start = {gateway.build: _pss_mib(gateway) for gateway in full}
    for gateway in full:
        _ask_every_service(gateway)
    runs = [run for gateway in full for run in _runs(gateway, alone.get(gateway.build))]

    def facts(_: Sequence[Row]) -> Facts:
        return {
            gateway.build: {
                "start, s": round(gateway.start_s, 1),
                "service added over the API, s": round(live_s(gateway, add), 2),
                "file with one changed, s": round(live_s(gateway, reload), 1),
                "worker at start, MiB": at_start[gateway.build],
                "worker with every service asked, MiB": _pss_mib(gateway),
                **({"worker with one route, MiB": _pss_mib(alone[gateway.build])} if gateway.build in alone else {}),
            }
            for gateway in full
        }

    return Plan(runs, facts)


def _runs(full: Gateway, alone: Gateway | None) -> list[Run]:
    name = full.build
    few = [] if alone is None else [Run(f"{name}: one route", alone.url, Load(("/bare/hello",)), alone.pids)]
    return few + [
        Run(f"{name}: {what}", full.url, Load(paths=asked, distinct=len(asked) * copies), full.pids)
        for what, asked, copies in (
            ("one path of 200,000", paths(1), 4096),
            ("2,000 paths", paths(WARM_PATHS), 2),
            ("20,000 paths", paths(COLD_PATHS), 1),
        )
    ]


def _ask_every_service(gateway: Gateway) -> None:
    """A service's routes are read at its first request: that is a cost of the start, and none of each request."""
    connection = http.client.HTTPConnection(urlsplit(gateway.url).netloc, timeout=10)
    for path in paths(SERVICES):
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
    return f"/added{route(1)}"


def reload(gateway: Gateway) -> str:
    """Has the node read its file, of which one service has changed; a path that only the new one has."""
    settings = json.loads(gateway.config.read_text())
    settings["services"][0]["path"] = "/moved"
    gateway.config.write_text(json.dumps(settings, indent=1))
    os.kill(gateway.control_pid, signal.SIGHUP)
    return f"/moved{route(1)}"


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
