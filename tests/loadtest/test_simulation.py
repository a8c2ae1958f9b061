"""A few seeds of the simulation, and that it sees a fault when there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.simulation import simulate
from metering.collector import Collector


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_usage_in_is_usage_billed(seed: int) -> None:
    report = simulate(seed)
    assert report.faults == [], f"seed {seed}"
    assert report.acts.keys() >= {"kill", "drain", "restart_control", "deliver", "replay", "step_clock", "event"}


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_seed_is_a_run_and_leaves_nothing_open() -> None:
    first = simulate(5)
    before = open_descriptors()
    assert simulate(5).acts == first.acts
    assert open_descriptors() == before


def test_a_file_that_is_not_read_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken on purpose: dead writers' files are archived before they are read."""
    collect = Collector.collect

    def forgetful(self: Collector) -> int:
        for path in sorted(self._directory.glob("*.ctr"))[:1]:
            if path not in self._files and self.identity_mismatches == 0 and not path.name.endswith(".1.ctr"):
                path.unlink()
        return collect(self)

    monkeypatch.setattr(Collector, "collect", forgetful)
    assert any("used" in fault for fault in simulate(1).faults)
