"""What metrics show goes on over restarts and crashes, at whatever instant."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sqlalchemy import Engine

from metering.cells import CALLS, DURATION_BUCKETS, LIMIT_REFUSALS
from metering.collector import Collector
from tests.metering.test_collector import SetClock, Worker, clock, engine, folder  # noqa: F401  (fixtures)

SERIES = ("one", "orders")


def test_what_is_archived_is_in_the_totals_of_the_next_process(folder: Path, engine: Engine, clock: SetClock) -> None:  # noqa: F811
    """Also what no store has: times, and what was refused by which limit."""
    gone, alive = Worker(folder, "n:b:gone"), Worker(folder, "n:b:alive")
    for worker in (gone, alive):
        for cell in (CALLS, DURATION_BUCKETS, LIMIT_REFUSALS["key"]):
            worker.add(cell, 5)
    gone.file.note_jumps(2)
    alive.file.note_jumps(3)
    first = Collector(folder, engine, clock)
    first.writer_gone("n:b:gone")
    first.collect()
    for _ in range(3):
        again = Collector(folder, engine, clock)
        again.collect()
        assert again.totals == first.totals
        assert again.clock_jumps == 5
        assert again.totals[SERIES][LIMIT_REFUSALS["key"]] == 10
    again.writer_gone("n:b:alive")
    again.collect()
    last = Collector(folder, engine, clock)
    assert (last.totals, last.clock_jumps) == (first.totals, 5), "before it has looked at a file"


def test_a_file_that_a_crash_left_in_its_place_counts_once(folder: Path, engine: Engine, clock: SetClock) -> None:  # noqa: F811
    """The process died after the totals were kept, and before the file was moved; a power loss may undo the move."""
    worker = Worker(folder)
    worker.add(CALLS, 7)
    worker.file.seal()
    Collector(folder, engine, clock).collect()
    (archived,) = (folder / "archive").glob("*.ctr")
    for _ in range(2):
        shutil.copy(archived, folder / archived.name)
        again = Collector(folder, engine, clock)
        again.collect()
        assert again.totals[SERIES][CALLS] == 7
    assert list(folder.glob("*.ctr")) == []


def test_totals_that_cannot_be_kept_leave_the_file_for_the_next_turn(
    folder: Path,  # noqa: F811
    engine: Engine,  # noqa: F811
    clock: SetClock,  # noqa: F811
) -> None:
    worker = Worker(folder)
    worker.add(CALLS, 7)
    worker.file.seal()
    (folder / "totals.part").mkdir()
    collector = Collector(folder, engine, clock)
    for _ in range(2):
        with pytest.raises(OSError, match=r"totals\.part"):
            collector.collect()
    (folder / "totals.part").rmdir()
    collector.collect()
    assert collector.totals[SERIES][CALLS] == 7
    assert Collector(folder, engine, clock).totals[SERIES][CALLS] == 7


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"version": 2}', '{"version": 1, "rows": [["a"]], "files": [], "jumps": {}}']
)
def test_totals_that_cannot_be_read_are_told_of_and_begin_anew(
    folder: Path,  # noqa: F811
    engine: Engine,  # noqa: F811
    clock: SetClock,  # noqa: F811
    content: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder.mkdir()
    (folder / "totals.json").write_text(content)
    worker = Worker(folder)
    worker.add(CALLS, 7)
    worker.file.seal()
    collector = Collector(folder, engine, clock)
    collector.collect()
    assert "totals.json is not read" in caplog.text
    assert collector.totals[SERIES][CALLS] == 7
    assert json.loads((folder / "totals.json").read_text())["version"] == 1
