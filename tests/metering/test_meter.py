"""The worker's meter: counts by hour, over turns of the clock and a kill."""

from __future__ import annotations

import errno
import os
import random
import signal
import struct
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

import pytest

from metering import counter_file
from metering.cells import CALLS, CELLS, INGRESS, METERS, REFUSED_BESIDE_CLIENT, egress_cell
from metering.clock import VirtualClock, hour_of, hour_start
from metering.counter_file import (
    FIRST_CELL,
    HEADER_BYTES,
    MAGIC,
    ROW_BYTES,
    VERSION,
    WORDS_PER_ROW,
    CounterFileError,
    CounterFileReader,
    CounterFileWriter,
    RowKey,
    file_name,
    row_cells,
    row_key,
    sync,
)
from metering.meter import Meter, Turning, row_of
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
            assert (reader.hour, row_key(raw)) not in found, "one row of a service in an hour"
            found[reader.hour, row_key(raw)] = row_cells(raw)
        reader.close()
    return found


def test_each_cell_has_one_meaning() -> None:
    assert len(set(METERS.values())) == len(METERS)
    assert max(METERS) < CELLS
    cells = {
        egress_cell(s, n, b)
        for s in ("client", "backend", "refused")
        for n in ("internet", "vpc")
        for b in ("application", "wire")
    }
    assert len(cells) == 12
    assert all(f"egress:{side}:vpc:wire" in METERS.values() for side in ("client", "backend", "refused"))


def test_sides_are_where_files_on_the_disk_have_them() -> None:
    """A file of the hour that an upgrade falls into was begun by the version before."""
    assert [egress_cell("client", n, b) for n in ("internet", "vpc") for b in ("application", "wire")] == [4, 5, 6, 7]
    assert [egress_cell("backend", n, b) for n in ("internet", "vpc") for b in ("application", "wire")] == [
        8,
        9,
        10,
        11,
    ]
    for network in ("internet", "vpc"):
        for basis in ("application", "wire"):
            beside = egress_cell("client", network, basis) + REFUSED_BESIDE_CLIENT
            assert beside == egress_cell("refused", network, basis)


def test_a_cell_tells_its_row(tmp_path: Path, clock: SetClock) -> None:
    meter = Meter(tmp_path, "n:b:w", clock)
    rows = [base_of(meter, name) for name in "abc"]
    assert [row_of(row + cell) for row in rows for cell in (0, REFUSED_BESIDE_CLIENT, CELLS - 1)] == [
        row for row in rows for _ in range(3)
    ]
    meter.close()


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
    assert meter.turn(lambda: Turning(7))
    meter.close()
    before, after = (CounterFileReader(tmp_path / file_name(hour, "n:b:w")) for hour in (first, first + 1))
    assert (before.under_way, after.under_way) == ((0, 7), (7, 0))
    before.close()
    after.close()


def base_of(meter: Meter, service: str) -> int:
    return meter.row("acme", "one", "r", service)


def turn_to(meter: Meter, hour: int, rows: set[int]) -> None:
    SetClock.at = hour_start(hour) + 1.0
    assert meter.turn(lambda: Turning(0, rows))
    for descriptor in meter.unsynced():
        os.close(descriptor)  # The disk is not what this is about.


def test_a_row_in_use_no_more_is_anothers_from_the_next_hour_on(tmp_path: Path, clock: SetClock) -> None:
    meter = Meter(tmp_path, "n:b:w", clock)
    first = meter.hour
    a, b, c = (base_of(meter, name) for name in "abc")
    meter.cells[b + CALLS] += 5
    turn_to(meter, first + 1, {a, c})
    assert base_of(meter, "d") == b, "the free one before a new one"
    assert base_of(meter, "e") not in (a, b, c)
    assert (base_of(meter, "a"), base_of(meter, "c")) == (a, c)
    assert meter.cells[b + CALLS] == 0
    meter.cells[b + CALLS] += 7
    assert base_of(meter, "b") not in (a, b, c), "back again, and another row's"
    meter.close()
    calls = {(hour, key.service): cells[CALLS] for (hour, key), cells in read(tmp_path).items() if cells[CALLS]}
    assert calls == {(first, "b"): 5, (first + 1, "d"): 7}


def test_rows_are_as_many_as_an_hour_has_and_not_as_there_ever_were(
    tmp_path: Path, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counter_file, "ROWS_MAX", 3)
    meter = Meter(tmp_path, "n:b:w", clock)
    for number in range(10):
        rows = {base_of(meter, f"{number}-{which}") for which in range(3)}
        assert len(rows) == 3
        with pytest.raises(ValueError, match="more than 3"):
            base_of(meter, "one more")
        turn_to(meter, meter.hour + 1, set())
    meter.close()
    assert len(read(tmp_path)) == 30


def test_an_hour_without_a_file_frees_no_row(tmp_path: Path, clock: SetClock, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter(tmp_path, "n:b:w", clock)
    a = base_of(meter, "a")
    SetClock.at = hour_start(meter.hour + 1) + 1.0

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "posix_fallocate", full)
        assert not meter.turn(lambda: Turning(0, set()))
    assert base_of(meter, "b") != a == base_of(meter, "a")
    meter.close()


@pytest.mark.parametrize("seed", range(4))
def test_services_that_come_and_go_have_what_was_counted_for_them(tmp_path: Path, clock: SetClock, seed: int) -> None:
    """Services are put in use and out of it, exchanges begin and end, some over turns: each count is its service's."""
    dice = random.Random(seed)
    meter = Meter(tmp_path, "n:b:w", clock)
    in_use: dict[str, int] = {}
    exchanges: list[tuple[str, int]] = []
    counted: Counter[tuple[int, str]] = Counter()
    names = [str(number) for number in range(12)]
    for _ in range(250):
        act = dice.random()
        name = dice.choice(names)
        if act < 0.2:
            in_use[name] = base_of(meter, name)
        elif act < 0.4:
            in_use.pop(name, None)
        elif act < 0.6 and name in in_use:
            exchanges.append((name, in_use[name]))
        elif act < 0.75 and exchanges:
            exchanges.pop(dice.randrange(len(exchanges)))
        elif act < 0.78:
            turn_to(meter, meter.hour + dice.choice((1, 1, 3)), {*in_use.values(), *(row for _, row in exchanges)})
        for name, row in exchanges:
            meter.cells[row + CALLS] += 1
            counted[meter.hour, name] += 1
    meter.close()
    found = {(hour, key.service): cells[CALLS] for (hour, key), cells in read(tmp_path).items() if cells[CALLS]}
    assert found == dict(counted)


@pytest.mark.parametrize("version", [1, 2, 3, VERSION])
def test_a_file_of_an_earlier_version_is_read(tmp_path: Path, version: int) -> None:
    writer = CounterFileWriter(tmp_path, "w", 1, {RowKey("a", "i", "r", name): at for at, name in enumerate("xyz")})
    for row in range(3):
        writer.words[row * WORDS_PER_ROW + FIRST_CELL + CALLS] = row + 7
        writer.words[row * WORDS_PER_ROW + FIRST_CELL + 4] = row + 70  # to clients, before refusals had a side
    writer.close()
    whole = writer.path.read_bytes()
    rows = [whole[at : at + ROW_BYTES] for at in range(HEADER_BYTES, HEADER_BYTES + 3 * ROW_BYTES, ROW_BYTES)]
    if version < 4:
        rows = [row[:1024] for row in rows]
    header = struct.pack("<8sIq128s", MAGIC, version, 1, b"w")
    header = (header + struct.pack("<I", zlib.crc32(header))).ljust(HEADER_BYTES, b"\0")
    if version >= 3:  # Those before had no number of rows.
        header = header[:544] + whole[544:552] + header[552:]
    writer.path.write_bytes(header + b"".join(rows) + bytes(4096))
    reader = CounterFileReader(writer.path)
    found = [(number, row_key(raw).service, row_cells(raw)[CALLS]) for number, raw in reader.row_bytes()]
    assert found == [(0, "x", 7), (1, "y", 8), (2, "z", 9)]
    sent = [{METERS[cell]: n for cell, n in enumerate(row_cells(raw)) if n} for _, raw in reader.row_bytes()]
    assert sent == [{"calls": row + 7, "egress:client:internet:application": row + 70} for row in range(3)]
    assert {len(row_cells(raw)) for _, raw in reader.row_bytes()} == {CELLS}
    reader.close()


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
