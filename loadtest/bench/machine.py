"""The machine that figures come from: which CPU does what, what a process used of it, and how busy it was."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

# Every proxy under test on one CPU, the load and the origin on the other, so that none steals from the other.
PROXY_CPU: Final = min(os.sched_getaffinity(0))
LOAD_CPU: Final = max(os.sched_getaffinity(0))
_TICK_US: Final = 1e6 / os.sysconf("SC_CLK_TCK")


def cpu_us(pids: Iterable[int]) -> float:
    """User and system time of the processes so far, in microseconds; the kernel counts it in steps of 10 ms."""
    return sum(_ticks(Path(f"/proc/{pid}/stat").read_text()) for pid in pids) * _TICK_US


def _ticks(stat: str) -> int:
    """utime + stime of a line of /proc/PID/stat. The name in it may hold blanks and brackets: proc(5)."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def proxy_cpu(number: int) -> int:
    """Where the first, second, … worker of a proxy runs; the load's CPU comes last, and then the first again."""
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[number % len(cpus)]


def pss_bytes(pids: Iterable[int]) -> int:
    """Memory of the processes, of what they share with others their part: proc(5), smaps_rollup."""
    return sum(_pss_bytes(Path(f"/proc/{pid}/smaps_rollup").read_text()) for pid in pids)


def _pss_bytes(rollup: str) -> int:
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024


def pin(pid: int, cpu: int) -> None:
    """Every thread of a running process onto one CPU."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {cpu})


def come_first(pids: Iterable[int]) -> None:
    """Every thread of running processes before all others on its CPU. Root's alone: else nothing is changed.

    A machine has threads of its own, of the kernel's and of whoever looks after it, that take a CPU for milliseconds
    at a time. What waits for one of them has the time of that, not its own.
    """
    with suppress(PermissionError):
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(1))


def busy_elsewhere(before: tuple[int, int], after: tuple[int, int], own_us: float) -> float:
    """Share of the machine's CPU time between two `cpu_times` that others than ``own_us`` used, 0 to 1."""
    busy, total = after[0] - before[0], after[1] - before[1]
    return max(0.0, busy - own_us / _TICK_US) / total if total else 0.0


def cpu_times() -> tuple[int, int]:
    """Busy and all ticks of the machine since its start."""
    times = [int(word) for word in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    idle = times[3] + times[4]
    return sum(times) - idle, sum(times)


def describe() -> dict[str, Any]:
    """Machine, date and versions, for the report."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?"
    )
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": model,
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
        "revision": _revision(),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _revision() -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True, text=True
        )
    except OSError:
        return "?"
    return done.stdout.strip() or "?"


def children_us() -> float:
    """CPU time of our children that have ended, wrk among them."""
    times = os.times()
    return (times.children_user + times.children_system) * 1e6
