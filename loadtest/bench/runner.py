"""Interleaved rounds (A B C A B C): a change of the machine's speed meets all targets alike."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from loadtest.bench import machine, paced, wrk
from loadtest.bench.stage import Run
from loadtest.bench.wrk import Seen

WARM_UP_S: Final = 1.0
NOISY: Final = 0.10  # Share of the machine that others used during a run, from which on its round counts as noisy.
AWAY_MAX: Final = 0.003  # of a paced run: three times as much waits for its client then, and a p99 is one in 100
TAKEN_AGAIN_MAX: Final = 3


@dataclass(frozen=True)
class Sample:
    """One run. ``cpu_us``: the proxy's CPU time for each request; ``elsewhere``: share of the machine others used."""

    seen: Seen
    cpu_us: float
    elsewhere: float

    @property
    def is_noisy(self) -> bool:
        return self.elsewhere > NOISY or self.seen.away > AWAY_MAX


@dataclass
class Row:
    """What is said of one target in one scenario: medians over the rounds."""

    target: str
    samples: list[Sample] = field(default_factory=list)
    error: str | None = None

    def median(self, of: Callable[[Sample], float]) -> float:
        return statistics.median(of(sample) for sample in self.samples)

    @property
    def cpu_us(self) -> float:
        return self.median(lambda sample: sample.cpu_us)

    @property
    def requests_per_s(self) -> float:
        return self.median(lambda sample: sample.seen.requests_per_s)

    @property
    def failed(self) -> int:
        return sum(sample.seen.failed + sample.seen.broken for sample in self.samples)

    @property
    def noisy_rounds(self) -> int:
        return sum(sample.is_noisy for sample in self.samples)

    def document(self) -> dict[str, Any]:
        if not self.samples:
            return {"target": self.target, "error": self.error}
        return {
            "target": self.target,
            "requests_per_s": round(self.requests_per_s),
            "cpu_us_per_request": round(self.cpu_us, 2),
            "p50_ms": round(self.median(lambda sample: sample.seen.p50_ms), 3),
            "p99_ms": round(self.median(lambda sample: sample.seen.p99_ms), 3),
            "read_bytes_per_s": round(self.median(lambda sample: sample.seen.read_bytes_per_s)),
            "failed": self.failed,
            "noisy_rounds": self.noisy_rounds,
            "rounds": [round(sample.cpu_us, 2) for sample in self.samples],
            "p99_ms_rounds": [round(sample.seen.p99_ms, 3) for sample in self.samples],
        }


def measure(
    runs: Sequence[Run],
    rounds: int,
    seconds: float,
    folder: Path,
    *,
    load_pids: Sequence[int] = (),
    advance: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """A row for each run. A target that fails is a row that says why, and takes no further turn.

    ``load_pids``: processes that belong to the load, as the origin: their CPU time is not others' either.
    """
    os.sync()  # What was written before, such as an access log of 100 MB, goes to the disk now and not during a run.
    rows = {run.target: Row(run.target) for run in runs}
    for turn in range(rounds + 1):
        for run in runs:
            row = rows[run.target]
            if row.error is None:
                try:
                    if turn:
                        row.samples.append(_sample(run, max(seconds, run.seconds_min), folder, load_pids))
                    else:
                        _sample_once(run, WARM_UP_S, folder, load_pids)
                except (wrk.WrkFailed, paced.PacedFailed, OSError) as error:
                    row.error = str(error)
            advance(run.target)
    return list(rows.values())


def _sample(run: Run, seconds: float, folder: Path, load_pids: Sequence[int]) -> Sample:
    """A run whose client was away says nothing of its target, and is taken again: a few times."""
    for _ in range(TAKEN_AGAIN_MAX):
        sample = _sample_once(run, seconds, folder, load_pids)
        if sample.seen.away <= AWAY_MAX:
            return sample
    return _sample_once(run, seconds, folder, load_pids)


def _sample_once(run: Run, seconds: float, folder: Path, load_pids: Sequence[int]) -> Sample:
    def load_us() -> float:
        return machine.children_us() + machine.cpu_us(load_pids)

    machine_before, own_before, load_before = machine.cpu_times(), machine.cpu_us(run.pids), load_us()
    seen = _seen(run, seconds, folder)
    own_us = machine.cpu_us(run.pids) - own_before
    known_us = own_us + load_us() - load_before
    elsewhere = machine.busy_elsewhere(machine_before, machine.cpu_times(), known_us)
    return Sample(seen, own_us / max(1, seen.requests), elsewhere)


def _seen(run: Run, seconds: float, folder: Path) -> Seen:
    if run.rate is None:
        return wrk.run(run.url, run.load, seconds, folder)
    return paced.run(run.url, run.load.paths[0], run.rate, seconds, origin_port=run.origin_port, warm_up_s=WARM_UP_S)
