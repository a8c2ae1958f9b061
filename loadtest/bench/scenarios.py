"""What is measured: requests of each kind, against every target that takes part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from loadtest.bench import node
from loadtest.bench.node import Gateway
from loadtest.bench.peers import Peer
from loadtest.bench.wrk import Load


@dataclass(frozen=True)
class Scenario:
    """``load`` is what every target is asked. ``has_peers`` False: the gateway alone, in several settings."""

    name: str
    title: str
    load: Load
    is_tls: bool = False
    has_peers: bool = True


@dataclass(frozen=True)
class Run:
    """One target of a scenario: where wrk goes, and whose CPU time it is."""

    target: str
    url: str
    load: Load
    pids: tuple[int, ...]


SCENARIOS: Final = {
    one.name: one
    for one in (
        Scenario("small", "small request, 35-byte answer", Load()),
        Scenario("1k", "1 KiB answer", Load(("/1k",))),
        Scenario("100k", "100 KiB answer", Load(("/100k",), connections=32)),
        Scenario("10m", "10 MiB answer", Load(("/10m",), connections=8)),
        Scenario("up100k", "100 KiB upload", Load(("/upload",), 32, "POST", 100 << 10, distinct=64)),
        Scenario("up1m", "1 MiB upload", Load(("/upload",), 8, "POST", 1 << 20, distinct=8)),
        Scenario("connect", "a new connection for each request", Load(closes=True)),
        Scenario("tls", "small request over TLS", Load(), is_tls=True),
        Scenario("features", "small request, features switched on one by one", Load(), has_peers=False),
        Scenario("routes", "2,000 services of 100 routes", Load(), has_peers=False),
    )
}
QUICK: Final = ("small", "100k", "features")
# More paths than the gateway keeps matches for (8,192), so that each request is matched anew.
COLD_PATHS: Final = 20_000
WARM_PATHS: Final = 2_000


def runs(scenario: Scenario, gateways: Sequence[Gateway], peers: Sequence[Peer]) -> list[Run]:
    """The targets of a scenario, in the order in which they take turns."""
    if scenario.name == "features":
        return [
            Run(f"{gateway.build}: {step}", gateway.url, _below(f"/{step}", scenario.load), gateway.pids)
            for step in node.STEPS
            for gateway in gateways
        ]
    if scenario.name == "routes":
        return [run for gateway in gateways for run in big_runs(gateway)]
    ours = [
        Run(
            f"tollgate {gateway.build}",
            gateway.tls_url if scenario.is_tls else gateway.url,
            _below(f"/{node.FULL}", scenario.load),
            gateway.pids,
        )
        for gateway in gateways
    ]
    theirs = [Run(peer.name, peer.tls_url if scenario.is_tls else peer.url, scenario.load, peer.pids) for peer in peers]
    return ours + theirs


def big_runs(gateway: Gateway) -> list[Run]:
    """One path, few paths and many paths of a table of 200,000 routes."""
    return [
        Run(f"{gateway.build}: {name}", gateway.url, Load(paths=paths, distinct=len(paths) * copies), gateway.pids)
        for name, paths, copies in (
            ("one path", node.big_paths(1), 4096),
            ("2,000 paths", node.big_paths(WARM_PATHS), 2),
            ("20,000 paths", node.big_paths(COLD_PATHS), 1),
        )
    ]


def _below(prefix: str, load: Load) -> Load:
    """The same requests below a service's path."""
    return Load(
        tuple(prefix + path for path in load.paths),
        load.connections,
        load.method,
        load.body_bytes,
        load.closes,
        load.distinct,
    )
