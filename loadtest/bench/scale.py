"""The cost of scale: more connections, more workers, and what a connection at rest takes of memory."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from loadtest.bench import machine, node
from loadtest.bench.heads import FIELDS
from loadtest.bench.node import Gateway
from loadtest.bench.peers import Peer
from loadtest.bench.runner import Row
from loadtest.bench.stage import Facts, Plan, Run, Stage
from loadtest.bench.wrk import Load

CONNECTIONS: Final = (1, 64, 1000, 5000)
MANY: Final = 1000
# Each round connects anew, and that is counted: so long, that it is a few percent of 5,000 connections' requests.
MANY_S_MIN: Final = 10.0
AT_REST: Final = 5000
WORKERS: Final = (1, 2)


def connections(stage: Stage) -> Plan:
    """The small request over few and many connections, of proxies that served nothing before: nothing is left of it."""
    proxies: list[Gateway | Peer] = [
        *stage.start_gateways("connections", node.step_services()),
        *stage.start_peers(["nginx"]),
    ]
    kib = {proxy.name: round(at_rest_bytes(proxy, path_of(proxy)) / 1024, 2) for proxy in proxies}
    runs = [
        Run(
            f"{proxy.name}, {count:,}",
            proxy.url,
            Load((path_of(proxy),), connections=count),
            proxy.pids,
            seconds_min=_seconds_min(count),
        )
        for count in CONNECTIONS
        for proxy in proxies
    ]

    def facts(_: Sequence[Row]) -> Facts:
        return {name: {f"one of {AT_REST:,} connections at rest, KiB": size} for name, size in kib.items()}

    return Plan(runs, facts)


def _seconds_min(connections: int) -> float:
    return MANY_S_MIN if connections >= MANY else 0.0


def workers(stage: Stage) -> Plan:
    """One and two workers. On a machine of two CPUs the second shares one with the load and the origin."""
    by_count = {
        1: stage.gateways,
        **{
            count: stage.start_gateways(f"workers-{count}", node.step_services(), workers=count)
            for count in WORKERS[1:]
        },
    }
    return Plan(
        [
            Run(f"{one.build}: {count} worker{'s' if count > 1 else ''}", one.url, Load((path_of(one),)), one.pids)
            for count, gateways in by_count.items()
            for one in gateways
        ]
    )


def path_of(proxy: Gateway | Peer) -> str:
    """Where the proxy is asked for a small answer: the gateway with all that it does, the peers in their only way."""
    return f"/{node.FULL}/hello" if isinstance(proxy, Gateway) else "/hello"


def at_rest_bytes(proxy: Gateway | Peer, path: str, count: int = AT_REST) -> float:
    """Memory of the proxy's process for each of ``count`` connections that asked once and are kept."""
    held: list[http.client.HTTPConnection] = []
    try:
        held.append(_asked(proxy, path))  # What the first request needs is not a connection's.
        before = machine.pss_bytes(proxy.pids)
        held += [_asked(proxy, path) for _ in range(count)]
        return (machine.pss_bytes(proxy.pids) - before) / count
    finally:
        for connection in held:
            connection.close()


def _asked(proxy: Gateway | Peer, path: str) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=10)
    connection.request("GET", path, headers=FIELDS)
    answer = connection.getresponse()
    answer.read()
    if answer.status != http.client.OK or connection.sock is None:
        raise OSError(f"{proxy.name} answered {answer.status}, and was to keep the connection")
    return connection
