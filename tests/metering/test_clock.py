"""Virtual time goes on over restarts, and never back."""

from pathlib import Path

import pytest

from metering.clock import VirtualClock, hour_of, hour_start, open_clock


def test_hours_are_half_open() -> None:
    assert hour_of(hour_start(5)) == 5
    assert hour_of(hour_start(6) - 0.001) == 5


def test_a_fast_clock_goes_on_over_a_restart(tmp_path: Path) -> None:
    first = open_clock(tmp_path, 3600, 100)
    again = open_clock(tmp_path, 3600, 999)
    assert again == first, "the offset is the first start's"
    slower = open_clock(tmp_path, 60, 0)
    assert slower.now() >= slower.virtual_anchor >= first.virtual_anchor


def test_at_rate_1_it_is_the_machines_clock_and_the_offset(tmp_path: Path) -> None:
    clock = open_clock(tmp_path, 1, 50)
    assert clock == VirtualClock(1.0, 0.0, 50)
    assert not (tmp_path / "clock.json").exists()


def test_workers_get_the_same_clock() -> None:
    clock = VirtualClock(10.0, 5.0, 7.0)
    assert VirtualClock.from_parameters(clock.parameters()) == clock
    assert clock.real_seconds_until(clock.now() + 100) == pytest.approx(10, abs=0.1)
