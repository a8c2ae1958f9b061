"""What is measured: requests of each kind, against every target that takes part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from loadtest.bench import half_load, node, routes, scale
from loadtest.bench.node import Gateway
from loadtest.bench.peers import Peer
from loadtest.bench.stage import Plan, Run, Stage
from loadtest.bench.wrk import Load

CPU: Final = "cpu_us_per_request"
P99: Final = "p99_ms"
LOGGED: Final = "access log"


@dataclass(frozen=True)
class Scenario:
    """``plan`` starts what it measures, and says what that is. ``figure``: of a row, what the picture shows."""

    name: str
    title: str
    plan: Callable[[Stage], Plan]
    figure: str = CPU


def beside_peers(load: Load, stage: Stage, *, is_tls: bool = False) -> Plan:
    """The same request to the gateway with all that it does, and to every other proxy."""
    asked: list[tuple[Gateway | Peer, Load]] = [(one, below(f"/{node.FULL}", load)) for one in stage.gateways]
    asked += [(peer, load) for peer in stage.peers]
    return Plan([Run(one.name, one.tls_url if is_tls else one.url, load, one.pids) for one, load in asked])


def features(stage: Stage) -> Plan:
    """The small request with one feature more in each step; the access log is a node's, so that needs its own."""
    steps = [
        Run(f"{gateway.build}: {step}", gateway.url, below(f"/{step}", Load()), gateway.pids)
        for step in node.STEPS
        for gateway in stage.gateways
    ]
    logged = [
        Run(f"{one.build}: {node.FULL} + {LOGGED}", one.url, below(f"/{node.FULL}", Load()), one.pids)
        for one in stage.start_gateways("log", node.step_services(), has_log=True)
    ]
    return Plan(steps + logged)


def below(prefix: str, load: Load) -> Load:
    """The same requests below a service's path."""
    return replace(load, paths=tuple(prefix + path for path in load.paths))


SCENARIOS: Final = {
    one.name: one
    for one in (
        Scenario("small", "small request, 35-byte answer", partial(beside_peers, Load())),
        Scenario("1k", "1 KiB answer", partial(beside_peers, Load(("/1k",)))),
        Scenario("100k", "100 KiB answer", partial(beside_peers, Load(("/100k",), connections=32))),
        Scenario("10m", "10 MiB answer", partial(beside_peers, Load(("/10m",), connections=8))),
        Scenario(
            "up100k",
            "100 KiB upload",
            partial(beside_peers, Load(("/upload",), 32, "POST", 100 << 10, distinct=64)),
        ),
        Scenario("up1m", "1 MiB upload", partial(beside_peers, Load(("/upload",), 8, "POST", 1 << 20, distinct=8))),
        Scenario("connect", "a new connection for each request", partial(beside_peers, Load(closes=True))),
        Scenario("tls", "small request over TLS", partial(beside_peers, Load(), is_tls=True)),
        Scenario("features", "small request, features switched on one by one", features),
        Scenario("p99", "small request at half load, from when due", half_load.plan, P99),
        Scenario("connections", "small request over so many connections", scale.connections),
        Scenario("workers", "small request, one worker and two", scale.workers),
        Scenario("routes", "2,000 services of 100 routes", routes.plan),
    )
}
QUICK: Final = ("small", "100k", "features")
