"""What the benchmark asks of the machine, of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from loadtest.bench import machine

TWO_THREADS = """
import sys, threading
threading.Thread(target=sys.stdin.read).start()
print(flush=True)
"""


def test_whoever_comes_first_does_with_every_thread_it_has() -> None:
    argv = [sys.executable, "-c", TWO_THREADS]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        machine.come_first((process.pid,))
        policies = [os.sched_getscheduler(int(task.name)) for task in Path(f"/proc/{process.pid}/task").iterdir()]
        process.stdin.close()
    assert policies == [_may_come_first()] * 2


def _may_come_first() -> int:
    """What the kernel lets us ask for, tried on a process of its own: first in, first out, or what all have."""
    ask = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
    assert done.returncode == 0 or "PermissionError" in done.stderr
    return os.SCHED_FIFO if done.returncode == 0 else os.SCHED_OTHER
