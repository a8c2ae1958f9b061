"""The contract of DESIGN 1.5 as a check of every window, and workers as processes that a test drives step by step."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.limits.admission import LimitSet
from gateway.limits.limit import Limit
from gateway.limits.table import LimitTable
from tests.node import ROOT

SECOND = 1_000_000_000


def burst_of(qps: int, burst_ms: int = 100) -> float:
    return max(1.0, qps * burst_ms / 1000)


def most_over(admitted_ns: Iterable[int], qps: int) -> float:
    """The largest number of requests beyond L*w in any window, of all windows there are.

    Of a window from the i-th to the j-th admission that is (j - L*t_j) - (i - L*t_i) + 1: so one pass finds it.
    """
    least = most = 0
    for number, at_ns in enumerate(sorted(admitted_ns)):
        level = number * SECOND - qps * at_ns
        least = level if number == 0 else min(least, level)
        most = max(most, level - least + SECOND)
    return most / SECOND


def assert_no_window_is_over(admitted_ns: Iterable[int], qps: int, *, burst_ms: int = 100, extra: float = 0) -> None:
    over = most_over(admitted_ns, qps)
    assert over <= burst_of(qps, burst_ms) + 1 + extra + 1e-6, f"{over} beyond L*w in a window, at L = {qps}"


def make_limit(
    path: Path, slot: int, qps: int, level: str = "service", *, workers: int = 1, burst_ms: int = 100
) -> Limit:
    """A worker's handle, on a mapping of its own."""
    return Limit(LimitTable.open(path), slot, qps, level, level, burst_ms=burst_ms, workers=workers)


class Process:
    """A worker of its own process. ``ask`` and ``answer`` are apart so that several work at once."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.gateway.limits.contract"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def ask(self, *words: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def crowd(size: int) -> Iterator[list[Process]]:
    """Processes; a test may replace those in the list."""
    processes = [Process() for _ in range(size)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()


def _serve() -> None:
    """One worker: ["limits", table, workers, burst_ms, [[slot, qps, level], …], [[index, …], …]] makes limit sets,
    ["admit", set, now_ns, count] answers how many of the requests were admitted."""
    sets: list[LimitSet] = []
    tables: dict[str, LimitTable] = {}
    for line in sys.stdin:
        word, *rest = json.loads(line)
        if word == "limits":
            path, workers, burst_ms, limits, members = rest
            table = tables.setdefault(path, LimitTable.open(Path(path)))
            handles = [
                Limit(table, slot, qps, level, level, burst_ms=burst_ms, workers=workers) for slot, qps, level in limits
            ]
            sets = [LimitSet(tuple(handles[index] for index in chosen)) for chosen in members]
            answer: Any = "made"
        else:
            which, now_ns, count = rest
            answer = sum(sets[which].admit(now_ns) is None for _ in range(count))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def admit_at_once(processes: Sequence[Process], which: int, now_ns: int, counts: Sequence[int]) -> list[int]:
    """Each process asks for so many at the same instant, all of them at once: what each was admitted."""
    asked = [(process, count) for process, count in zip(processes, counts, strict=True) if count]
    for process, count in asked:
        process.ask("admit", which, now_ns, count)
    return [process.answer() for process, _ in asked]


if __name__ == "__main__":
    _serve()
