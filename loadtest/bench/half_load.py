"""How long answers take at half of what the gateway can do, beside nginx at the same rate, from when each was due."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

from loadtest.bench import machine, node, runner, scale
from loadtest.bench.node import Gateway
from loadtest.bench.peers import Peer
from loadtest.bench.runner import Row
from loadtest.bench.stage import Facts, Plan, Run, Stage
from loadtest.bench.wrk import Load
from loadtest.processes import free_ports

PEER: Final = "nginx"
SECONDS_MIN: Final = 5.0  # A p99 of three seconds is one stall's,
ROUNDS_MIN: Final = 7  # and a median of three rounds is one noisy minute's.
MOST_ROUNDS: Final = 3  # of finding out what a gateway can do at most


def plan(stage: Stage) -> Plan:
    """Each build at half of its own most, and nginx at that rate too, in turns. The client is the origin of all.

    Where root asks, the client and all of them come before the machine's other threads on their CPUs.
    """
    port = free_ports(1)[0]
    gateways = stage.start_gateways("paced", node.step_services(), origin_port=port)
    peer = next(iter(stage.start_peers([PEER], origin_port=port)), None)
    by_wrk = [Run(one.name, one.url, Load((scale.path_of(one),)), one.pids) for one in stage.gateways]
    measured = runner.measure(by_wrk, MOST_ROUNDS, stage.seconds, stage.folder)
    most = {row.target: row.requests_per_s for row in measured if row.samples}
    for pids in [one.pids for one in gateways] + ([] if peer is None else [peer.pids]):
        machine.come_first(pids)
    pairs = []
    for one in gateways:
        if one.name in most:
            rate = half(most[one.name])
            pairs.append((_run(one, rate, port), None if peer is None else _run(peer, rate, port)))

    def facts(rows: Sequence[Row]) -> Facts:
        by_target = {row.target: row for row in rows}
        return {ours.target: apart(by_target, ours, theirs) for ours, theirs in pairs}

    # Two builds of one rate have one nginx beside them.
    return Plan(list(dict.fromkeys(run for pair in pairs for run in pair if run is not None)), facts, ROUNDS_MIN)


def _run(proxy: Gateway | Peer, rate: int, origin_port: int) -> Run:
    load = Load((scale.path_of(proxy),))
    return Run(f"{proxy.name}, {rate:,}/s", proxy.url, load, proxy.pids, rate, origin_port, seconds_min=SECONDS_MIN)


def half(most_per_s: float) -> int:
    """In whole hundreds, so that two builds of one speed are measured at one rate."""
    return max(100, round(most_per_s / 200) * 100)


def apart(rows: dict[str, Row], ours: Run, theirs: Run | None) -> dict[str, float]:
    """The median of what lies between the two in each round, and how late the client itself was."""
    row = rows[ours.target]
    if not row.samples:
        return {}
    late = {"client late, p99 ms": round(row.median(lambda sample: sample.seen.late_p99_ms), 3)}
    beside = None if theirs is None else rows[theirs.target]
    if beside is None or beside.error is not None:
        return late
    between = [a.seen.p99_ms - b.seen.p99_ms for a, b in zip(row.samples, beside.samples, strict=False)]
    return {f"p99 behind {PEER}'s, ms": round(statistics.median(between), 3), **late}
