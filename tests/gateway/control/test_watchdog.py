"""What counts of a worker's silence."""

import os
import signal
import subprocess
import sys

import pytest

from gateway.control.watchdog import LOOK_INTERVAL_S, Thread, Watchdog
from tests.node import until


def silent_s(watchdog: Watchdog, looks: int, passed_s: float, states: str, cpu_each_s: float = 0.0) -> float:
    for look in range(looks):
        watchdog.looked(passed_s, Thread(states[look % len(states)], look * cpu_each_s))
    return watchdog.silent_s


@pytest.mark.parametrize(
    "states, passed_s, cpu_each_s, counts_s",
    [
        pytest.param("T", 0.5, 0.0, 10.0, id="stopped"),
        pytest.param("S", 0.5, 0.0, 10.0, id="waits for something that does not come"),
        pytest.param("R", 0.5, 0.5, 4.75, id="computes without end: half of what it computed"),
        pytest.param("R", 0.5, 0.01, 0.095, id="gets no CPU: what it got"),
        pytest.param("D", 0.5, 0.0, 0.0, id="waits for a disk"),
        pytest.param("t", 0.5, 0.0, 0.0, id="is looked at by a debugger"),
        pytest.param("S", 3600.0, 0.0, 20.0, id="the machine slept: a second of each look"),
    ],
)
def test_silence_counts_as_far_as_the_worker_could_have_spoken(
    states: str, passed_s: float, cpu_each_s: float, counts_s: float
) -> None:
    assert silent_s(Watchdog(), 20, passed_s, states, cpu_each_s) == pytest.approx(counts_s)


def test_a_worker_hangs_after_five_seconds_and_a_starting_one_after_twenty() -> None:
    starting, serving = Watchdog(), Watchdog()
    serving.heard()
    silent_s(starting, 10, LOOK_INTERVAL_S, "S")
    silent_s(serving, 9, LOOK_INTERVAL_S, "S")
    assert not serving.is_hung and not starting.is_hung
    silent_s(serving, 1, LOOK_INTERVAL_S, "S")
    assert serving.is_hung and not starting.is_hung
    serving.heard()
    assert not serving.is_hung
    silent_s(starting, 30, LOOK_INTERVAL_S, "S")
    assert starting.is_hung


def test_a_thread_is_seen_to_stop_and_to_compute() -> None:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        until(lambda: (seen := Thread.of(process.pid)) is not None and seen.cpu_s > 0.05, "it computes", 10)
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: (seen := Thread.of(process.pid)) is not None and seen.state == "T", "it is stopped", 5)
    finally:
        process.kill()
        process.wait()
    assert Thread.of(process.pid) is None
