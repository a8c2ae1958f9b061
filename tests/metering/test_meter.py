"""The worker's meter: counts by hour, over turns of the clock and a kill."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from metering.cells import CALLS, CELLS, INGRESS, METERS, egress_cell
from metering.clock import VirtualClock, hour_of, hour_start
from metering.counter_file import (
    CounterFileError,
    CounterFileReader,
    CounterFileWriter,
    RowKey,
    file_name,
    row_cells,
    row_key,
    sync,
)
from metering.meter import Meter
from tests.node import ROOT


class SetClock(VirtualClock):
    """A clock that the test sets. Rate 3600: an hour a second."""

    at = 0.0

    def now(self) -> float:
        return SetClock.at


@pytest.fixture
def clock() -> SetClock:
    SetClock.at = 1_700_000_000.0
    return SetClock(rate=3600.0)


def read(folder: Path) -> dict[tuple[int, RowKey], list[int]]:
    found = {}
    for path in sorted(folder.glob("*.ctr")):
        reader = CounterFileReader(path)
        for _, raw in reader.row_bytes():
            found[reader.hour, row_key(raw)] = row_cells(raw)
        reader.close()
    return found


def test_each_cell_has_one_meaning() -> None:
    assert len(set(METERS.values())) == len(METERS)
    assert max(METERS) < CELLS
    cells = {
        egress_cell(s, n, b)
        for s in ("client", "backend")
        for n in ("internet", "vpc")
        for b in ("application", "wire")
    }
    assert len(cells) == 8


def test_counts_fall_into_the_hour_they_were_made_in(tmp_path: Path, clock: SetClock) -> None:
    meter = Meter(tmp_path, "n:b:w", clock)
    base = meter.row("acme", "one", "ap-guangzhou", "orders")
    other = meter.row("acme", "one", "ap-guangzhou", "items")
    first = hour_of(clock.now())
    meter.cells[base + CALLS] += 3
    SetClock.at = hour_start(first + 1)
    assert meter.turn()
    meter.cells[base + CALLS] += 4
    meter.cells[other + INGRESS] += 7
    meter.close()
    found = read(tmp_path)
    orders, items = RowKey("acme", "one", "ap-guangzhou", "orders"), RowKey("acme", "one", "ap-guangzhou", "items")
    assert found[first, orders][CALLS] == 3
    assert found[first + 1, orders][CALLS] == 4
    assert found[first + 1, items][INGRESS] == 7
    assert found[first, items] == [0] * CELLS


def test_the_same_row_is_given_again(tmp_path: Path, clock: SetClock) -> None:
    meter = Meter(tmp_path, "n:b:w", clock)
    assert meter.row("a", "i", "r", "s") == meter.row("a", "i", "r", "s")
    meter.close()


def test_a_turned_hour_is_sealed_and_an_open_one_is_not(tmp_path: Path, clock: SetClock) -> None:
    meter = Meter(tmp_path, "n:b:w", clock)
    first = hour_of(clock.now())
    SetClock.at = hour_start(first + 1) + 1
    meter.turn()
    sealed = CounterFileReader(tmp_path / file_name(first, "n:b:w"))
    still_open = CounterFileReader(tmp_path / file_name(first + 1, "n:b:w"))
    assert sealed.is_sealed
    assert not still_open.is_sealed
    meter.close()
    assert still_open.is_sealed
    sealed.close()
    still_open.close()


def test_a_clock_that_steps_back_stays_in_its_hour(tmp_path: Path, clock: SetClock) -> None:
    meter = Meter(tmp_path, "n:b:w", clock)
    hour = meter.hour
    SetClock.at -= 7200
    assert not meter.turn()
    assert meter.hour == hour
    meter.close()


def test_a_clock_that_jumps_ahead_is_refused(tmp_path: Path) -> None:
    SetClock.at = 1_700_000_000.0
    meter = Meter(tmp_path, "n:b:w", SetClock(rate=1.0))
    SetClock.at += 10 * 3600
    hour = meter.hour
    assert not meter.turn()
    assert not meter.turn()
    assert (meter.hour, meter.jumps) == (hour, 1), "one jump, however long it lasts"
    reader = CounterFileReader(tmp_path / file_name(hour, "n:b:w"))
    assert reader.jumps == 1, "for the control process to see"
    reader.close()
    SetClock.at -= 10 * 3600
    assert not meter.turn()
    SetClock.at += 10 * 3600
    meter.turn()
    assert meter.jumps == 2
    meter.close()


def test_a_clock_behind_for_hours_is_an_alarm_and_goes_on_when_it_is_there(tmp_path: Path) -> None:
    SetClock.at = 1_700_000_000.0
    passed = [0.0]
    meter = Meter(tmp_path, "n:b:w", SetClock(rate=1.0), lambda: passed[0])
    hour = meter.hour
    SetClock.at -= 2 * 3600
    assert not meter.turn()
    assert (meter.hour, meter.jumps) == (hour, 1)
    SetClock.at = hour_start(hour + 1) + 1.0
    passed[0] = 2 * 3600 + SetClock.at - 1_700_000_000.0
    assert meter.turn()
    meter.close()


def test_an_hour_that_cannot_get_a_file_goes_on_in_the_one_before(
    tmp_path: Path, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = Meter(tmp_path, "n:b:w", clock)
    base = meter.row("acme", "one", "ap-guangzhou", "orders")
    hour = meter.hour

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    SetClock.at = hour_start(hour + 1) + 1.0
    with monkeypatch.context() as disk:
        disk.setattr(os, "posix_fallocate", full)
        assert not meter.turn()
    meter.cells[base + CALLS] += 1
    assert meter.hour == hour
    assert [path.name for path in tmp_path.iterdir()] == [file_name(hour, "n:b:w")], "no half a file"
    assert meter.turn()
    assert read(tmp_path)[hour, RowKey("acme", "one", "ap-guangzhou", "orders")][CALLS] == 1
    meter.close()


def test_what_is_under_way_at_the_turn_is_noted_in_both_hours(tmp_path: Path, clock: SetClock) -> None:
    meter = Meter(tmp_path, "n:b:w", clock)
    first = meter.hour
    SetClock.at = hour_start(first + 1) + 1.0
    assert meter.turn(lambda: 7)
    meter.close()
    before, after = (CounterFileReader(tmp_path / file_name(hour, "n:b:w")) for hour in (first, first + 1))
    assert (before.under_way, after.under_way) == ((0, 7), (7, 0))
    before.close()
    after.close()


def test_counts_are_brought_to_the_disk_by_descriptors_of_their_own(tmp_path: Path, clock: SetClock) -> None:
    meter = Meter(tmp_path, "n:b:w", clock)
    SetClock.at = hour_start(meter.hour + 1) + 1.0
    meter.turn()
    descriptors = meter.unsynced()
    assert len(descriptors) == 2, "the hour that is sealed, once, and the one that is open"
    sync(descriptors)
    for descriptor in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    again = meter.unsynced()
    assert len(again) == 1
    sync(again)
    meter.close()


def test_seconds_to_turn_are_real_ones(tmp_path: Path, clock: SetClock) -> None:
    meter = Meter(tmp_path, "n:b:w", clock)
    SetClock.at = hour_start(meter.hour) + 1800.0
    assert meter.seconds_to_turn() == pytest.approx(0.5)
    meter.close()


def test_an_id_too_long_is_refused(tmp_path: Path, clock: SetClock) -> None:
    meter = Meter(tmp_path, "n:b:w", clock)
    with pytest.raises(ValueError, match="longer than 63 bytes"):
        meter.row("a" * 64, "i", "r", "s")
    meter.close()


def test_a_file_has_one_writer(tmp_path: Path) -> None:
    writer = CounterFileWriter(tmp_path, "w", 1)
    with pytest.raises(FileExistsError):
        CounterFileWriter(tmp_path, "w", 1)
    writer.close()


@pytest.mark.parametrize(
    "content",
    [pytest.param(b"", id="empty"), pytest.param(b"x" * 5000, id="foreign"), pytest.param(None, id="bad crc")],
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "1-w.ctr"
    if content is None:
        CounterFileWriter(tmp_path, "w", 1).close()
        with path.open("r+b") as file:
            file.seek(16)
            file.write(b"\xff")
    else:
        path.write_bytes(content)
    with pytest.raises(CounterFileError, match=r"1-w\.ctr"):
        CounterFileReader(path)


CHILD = """
import sys
from pathlib import Path
from metering.cells import CALLS
from metering.clock import VirtualClock
from metering.meter import Meter
meter = Meter(Path(sys.argv[1]), "n:b:w", VirtualClock())
base = meter.row("a", "i", "r", "s")
while True:
    meter.cells[base + CALLS] += 1
    print(meter.cells[base + CALLS], flush=True)
"""


def test_kill_9_loses_no_count_that_was_made(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT)
    assert child.stdout is not None
    for _ in range(1000):
        acknowledged = int(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read().splitlines()
    child.stdout.close()
    child.wait()
    if rest:
        acknowledged = int(rest[-1])
    (cells,) = read(tmp_path).values()
    assert cells[CALLS] in (acknowledged, acknowledged + 1), "the last may have been counted and not said"
