"""Whether a worker hangs: its loop says that it turns, each second, and one that is silent for long is no worker.

What it is silent for counts only as far as it could have spoken. A machine that is busy, asleep or stopped kills none:
- While this process is late itself, little of the time counts: both were kept from running, or the machine was.
- While its thread waits for a CPU, only what it got of one counts, and half of that: much to compute is no fault.
- While it waits for a disk or for memory, or for a debugger, nothing counts: a kill would help nobody.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

LOOK_INTERVAL_S: Final = 0.5
# Five beats, and no other reason for the silence.
_SILENT_S_MAX: Final = 5.0
# Python starts in well under a second; a snapshot of 200,000 routes is read in some.
_START_S_MAX: Final = 20.0
_TICKS_A_SECOND: Final = 100  # of /proc, whatever the kernel's own clock is (proc(5), USER_HZ)


class Thread(NamedTuple):
    """The main thread of a process: its state as proc(5) has it, and the CPU time that it has had."""

    state: str
    cpu_s: float

    @classmethod
    def of(cls, pid: int) -> Thread | None:
        """None: there is no such process any more."""
        try:
            fields = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
            return cls(fields[0], (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND)
        except (OSError, ValueError, IndexError):
            return None


class Watchdog:
    """Of one worker. To be told how it stands each `LOOK_INTERVAL_S`."""

    def __init__(self) -> None:
        self.silent_s = 0.0  # what counts of it
        self._has_spoken = False
        self._cpu_s = 0.0

    def heard(self) -> None:
        self._has_spoken = True
        self.silent_s = 0.0

    def looked(self, passed_s: float, thread: Thread | None) -> None:
        """``passed_s``: since the last look, by the monotonic clock."""
        passed_s = min(passed_s, 2 * LOOK_INTERVAL_S)
        state, cpu_s = thread or ("", self._cpu_s)
        if state == "R":
            passed_s = min(passed_s, max(0.0, cpu_s - self._cpu_s) / 2)
        elif state in ("D", "t"):
            passed_s = 0.0
        self._cpu_s = cpu_s
        self.silent_s += passed_s

    @property
    def is_hung(self) -> bool:
        return self.silent_s >= (_SILENT_S_MAX if self._has_spoken else _START_S_MAX)
