"""Workers that die by SIGKILL, one after another, while others take from the same limits; run as a process.

``python -m tests.gateway.limits.killing TABLE KILLS SEED`` prints what was admitted as JSON. It forks its workers, so
it has one thread and nothing of pytest in it. A third of them die holding the lock, a third between two levels of one
admission, still holding it, and a third at any instant, with leases in hand.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Final

from gateway.limits.admission import LimitSet
from gateway.limits.limit import Limit
from gateway.limits.table import LimitTable

LIMITS: Final = ((0, 2500, "instance"), (1, 2000, "service"), (2, 1200, "route"))
WORKERS: Final = 3
_LOG_BYTES: Final = 1 << 18


class _Log:
    """Instants of admissions, in memory that outlives the process that writes them."""

    def __init__(self) -> None:
        self.words = memoryview(mmap.mmap(-1, _LOG_BYTES)).cast("q")

    def add(self, at_ns: int) -> None:
        number = self.words[0] + 1
        self.words[number] = at_ns
        self.words[0] = number

    def instants(self) -> list[int]:
        return self.words[1 : 1 + self.words[0]].tolist()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _work(path: Path, log: _Log, way: str, takes: int) -> None:
    """Takes as much as it can; dies in its ``takes``-th critical section, or is killed from outside."""
    table = LimitTable.open(path)
    limits = [Limit(table, slot, qps, level, level, burst_ms=100, workers=WORKERS) for slot, qps, level in LIMITS]
    own = LimitSet(tuple(limits))
    count = 0
    unlock, take = LimitTable.unlock, Limit.take

    def dying_unlock(self: LimitTable) -> None:
        nonlocal count
        count += 1
        if count == takes:
            _die()
        unlock(self)

    def dying_take(self: Limit, now_ns: int) -> None:
        nonlocal count
        take(self, now_ns)
        count += self.level == "service"
        if count == takes:
            _die()

    if way == "lock":
        LimitTable.unlock = dying_unlock  # type: ignore[method-assign]
    elif way == "levels":
        Limit.take = dying_take  # type: ignore[method-assign]
    while log.words[0] < len(log.words) - 2:
        now_ns = time.monotonic_ns()
        if own.admit(now_ns) is None:
            log.add(now_ns)
        else:
            time.sleep(0.0005)


def _start(path: Path, log: _Log, way: str, takes: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        _work(path, log, way, takes)
    finally:
        os._exit(1)


def main() -> int:
    path, kills, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    logs = [_Log()]
    began_ns = time.monotonic_ns()
    survivor = _start(path, logs[0], "never", 0)
    ways = {}
    for number in range(kills):
        way = ("lock", "levels", "outside")[number % 3]
        logs.append(_Log())
        ways[_start(path, logs[-1], way, chance.randint(1, 3))] = way
        while len(ways) >= WORKERS - 1:
            _end_one(ways, chance)
    while ways:
        _end_one(ways, chance)
    # Whoever is left is not kept waiting by the dead.
    before, deadline = logs[0].words[0], time.monotonic() + 20
    while logs[0].words[0] <= before + 10 and time.monotonic() < deadline:
        time.sleep(0.005)
    lasted_ns = time.monotonic_ns() - began_ns
    os.kill(survivor, signal.SIGKILL)
    os.waitpid(survivor, 0)
    admitted = [instant for log in logs for instant in log.instants()]
    went_on = logs[0].words[0] > before + 10
    sys.stdout.write(json.dumps({"admitted": admitted, "lasted_ns": lasted_ns, "went_on": bool(went_on)}))
    return 0


def _end_one(ways: dict[int, str], chance: random.Random) -> None:
    pid, way = next(iter(ways.items()))
    if way == "outside":
        time.sleep(chance.uniform(0, 0.01))
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WTERMSIG(status) != signal.SIGKILL:
        raise RuntimeError(f"a worker ended by itself: {status}")
    del ways[pid]


if __name__ == "__main__":
    sys.exit(main())
