"""What a Locust process writes down, by second: offered, admitted, refused, how long it took, and bytes read."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# Latencies are kept in steps of 4.7 %: enough for percentiles, and a dozen numbers a second instead of thousands.
_STEPS_PER_DECADE: Final = 50


def step_of(milliseconds: float) -> int:
    return round(math.log10(max(milliseconds, 0.001)) * _STEPS_PER_DECADE)


def milliseconds_of(step: int) -> float:
    return float(10 ** (step / _STEPS_PER_DECADE))


@dataclass
class Second:
    """One kind of request in one second: ``sent`` by when it was sent, the others by when they were answered."""

    sent: int = 0
    admitted: int = 0
    refused: int = 0  # 429
    failed: int = 0  # any other answer, or none
    latencies: Counter[int] = field(default_factory=Counter)  # of admitted ones, by step

    def __iadd__(self, other: Second) -> Second:
        self.sent += other.sent
        self.admitted += other.admitted
        self.refused += other.refused
        self.failed += other.failed
        self.latencies += other.latencies
        return self


class Recorder:
    """One process's record of one instance."""

    def __init__(self) -> None:
        self.seconds: defaultdict[tuple[str, int], Second] = defaultdict(Second)
        self.broken = 0  # no answer at all
        self.failures: Counter[str] = Counter()  # what came in place of an answer, in words
        self.read_bytes = 0

    def add(self, kind: str, status: int, started_at: float, taken_ms: float, fault: object = None) -> None:
        """``status`` 0: no answer, by ``fault``. ``started_at``: seconds of the epoch."""
        self.seconds[kind, int(started_at)].sent += 1
        second = self.seconds[kind, int(started_at + taken_ms / 1000)]
        if status == 429:
            second.refused += 1
        elif status == 101 or 200 <= status < 300:
            second.admitted += 1
            second.latencies[step_of(taken_ms)] += 1
        else:
            second.failed += 1
            self.broken += status == 0
            self.failures[f"{kind}: {status or repr(fault)} after {taken_ms / 1000:.0f} s"] += 1

    def write(self, path: Path) -> None:
        rows = [
            [kind, at, one.sent, one.admitted, one.refused, one.failed, sorted(one.latencies.items())]
            for (kind, at), one in sorted(self.seconds.items())
        ]
        path.write_text(
            json.dumps(
                {"read_bytes": self.read_bytes, "broken": self.broken, "failures": self.failures, "seconds": rows}
            )
        )

    def add_all(self, other: Recorder) -> None:
        """What another process, or another run, saw of the same instance."""
        self.read_bytes += other.read_bytes
        self.broken += other.broken
        self.failures += other.failures
        for key, second in other.seconds.items():
            self.seconds[key] += second


def read(paths: Iterable[Path]) -> Recorder:
    """The records of several processes as one."""
    whole = Recorder()
    for path in paths:
        document, part = json.loads(path.read_text()), Recorder()
        part.read_bytes, part.broken = document["read_bytes"], document["broken"]
        part.failures = Counter(document["failures"])
        for kind, at, sent, admitted, refused, failed, latencies in document["seconds"]:
            part.seconds[kind, at] = Second(sent, admitted, refused, failed, Counter(dict(latencies)))
        whole.add_all(part)
    return whole
