"""Whatever ends a measurement, what it started is gone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loadtest.processes import Processes, StartFailed, free_ports, listens

PROGRAM = """
import sys, time
from pathlib import Path
from loadtest.processes import Processes, stop_in_order
stop_in_order()
try:
    with Processes(Path(sys.argv[1])) as processes:
        print(processes.start("child", [sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
        time.sleep(600)
except KeyboardInterrupt:
    sys.exit(7)
"""


@pytest.mark.parametrize("signal_sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_what_was_started_even_where_the_shell_ignored_it(signal_sent: int, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert process.stdout is not None
    with process.stdout:
        child = int(process.stdout.readline())
    process.send_signal(signal_sent)
    assert process.wait(30) == 7
    assert not Path(f"/proc/{child}").exists()


def test_a_process_that_ends_at_once_says_what_it_printed(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        process = processes.start("bad", [sys.executable, "-c", "raise SystemExit('no such flag')"])
        with pytest.raises(StartFailed, match="bad ended: no such flag"):
            processes.wait_until("bad", process, lambda: False)


def test_a_process_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    begun = time.monotonic()
    with Processes(tmp_path) as processes:
        process = processes.start("slow", [sys.executable, "-c", "import time; time.sleep(600)"])
        with pytest.raises(StartFailed, match="was not ready"):
            processes.wait_until("slow", process, lambda: False, seconds=0.1)
    assert process.returncode is not None
    assert time.monotonic() - begun < 60


def test_ports_are_free_and_no_two_alike() -> None:
    ports = free_ports(8)
    assert len(set(ports)) == 8
    assert not any(map(listens, ports))
