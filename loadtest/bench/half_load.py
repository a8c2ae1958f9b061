"""How long answers take at half of what the gateway can do, beside nginx at the same rate, from when each was due."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from loadtest.bench import node, runner
from loadtest.bench.peers import Peer
from loadtest.bench.runner import Row
from loadtest.bench.stage import Facts, Plan, Run, Stage
from loadtest.bench.wrk import Load

PEER = "nginx"


def plan(stage: Stage) -> Plan:
    """Each build at half of its own most, and nginx at that rate too, in turns."""
    peer = next((one for one in stage.peers if one.name == PEER), None)
    full = [Run(gateway.name, gateway.url, Load((f"/{node.FULL}/hello",)), gateway.pids) for gateway in stage.gateways]
    rows = runner.measure(full, 1, stage.seconds, stage.folder)
    most = {row.target: row.requests_per_s for row in rows if row.samples}
    pairs = [_pair(run, peer, half(most[run.target])) for run in full if run.target in most]

    def facts(rows: Sequence[Row]) -> Facts:
        by_target = {row.target: row for row in rows}
        return {ours.target: apart(by_target, ours, theirs) for ours, theirs in pairs}

    # Two builds of one rate have one nginx beside them.
    return Plan(list(dict.fromkeys(run for pair in pairs for run in pair if run is not None)), facts)


def _pair(run: Run, peer: Peer | None, rate: int) -> tuple[Run, Run | None]:
    ours = replace(run, target=f"{run.target}, {rate:,}/s", rate=rate)
    return ours, None if peer is None else Run(f"{PEER}, {rate:,}/s", peer.url, Load(), peer.pids, rate)


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
