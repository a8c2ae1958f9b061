"""Files into rows and totals: absolute, idempotent, whoever died in between."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from metering.cells import (
    BACKEND_ERRORS,
    CALLS,
    DURATION_BUCKETS,
    DURATION_SUM_US,
    FRONTEND_ERRORS,
    INGRESS,
    OTHER_ENDS,
    egress_cell,
)
from metering.clock import hour_start
from metering.collector import SETTLE_ANYWAY_S, Collector, is_sealed
from metering.counter_file import FIRST_CELL, WORDS_PER_ROW, CounterFileWriter, RowKey
from metering.database import open_engine, transaction
from metering.tables import counter, dirty, metadata
from metering.usage import usage_rows
from tests.node import ROOT

HOUR = 472_222
KEY = RowKey("acme", "one", "ap-guangzhou", "orders")


class SetClock:
    def __init__(self) -> None:
        self.at = float(hour_start(HOUR))

    def now(self) -> float:
        return self.at


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = open_engine(f"sqlite:///{tmp_path}/store/tollgate.db")
    metadata.create_all(engine)
    return engine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "counters"


class Worker:
    """A writer of one hour's file, one row."""

    def __init__(self, folder: Path, name: str = "n:b:w", hour: int = HOUR, key: RowKey = KEY) -> None:
        self.file = CounterFileWriter(folder, name, hour)
        self.base = self.file.add_row(key) * WORDS_PER_ROW + FIRST_CELL

    def add(self, cell: int, amount: int = 1) -> None:
        self.file.words[self.base + cell] += amount


def stored(engine: Engine, meter: str = "calls") -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.sum(counter.c.value)).where(counter.c.meter == meter)).scalar() or 0


def marks(engine: Engine) -> list[tuple[str, int]]:
    with engine.connect() as connection:
        return [(account, hour) for account, hour in connection.execute(select(dirty.c.account, dirty.c.hour))]


def test_counts_reach_the_store_and_collecting_again_changes_nothing(
    folder: Path, engine: Engine, clock: SetClock
) -> None:
    collector = Collector(folder, engine, clock)
    assert collector.collect() == 0, "no folder yet"
    worker = Worker(folder)
    worker.add(CALLS, 5)
    assert collector.collect() == 1
    assert (stored(engine), marks(engine)) == (5, [("acme", HOUR)])
    with transaction(engine) as connection:
        connection.execute(dirty.delete())
    assert collector.collect() == 0
    assert marks(engine) == [], "no growth, no mark"
    worker.add(CALLS, 2)
    collector.collect()
    assert (stored(engine), marks(engine)) == (7, [("acme", HOUR)])
    assert collector.totals["one", "orders"][CALLS] == 7


def test_a_new_control_process_reads_the_same_files_to_the_same_rows(
    folder: Path, engine: Engine, clock: SetClock
) -> None:
    worker = Worker(folder)
    worker.add(CALLS, 5)
    Collector(folder, engine, clock).collect()
    worker.add(CALLS, 1)
    Collector(folder, engine, clock).collect()
    assert stored(engine) == 6


def test_what_was_before_a_route_is_nobodys(folder: Path, engine: Engine, clock: SetClock) -> None:
    worker = Worker(folder, key=RowKey("-", "-", "-", "-"))
    worker.add(FRONTEND_ERRORS["no_route"])
    Collector(folder, engine, clock).collect()
    assert marks(engine) == []
    (row,) = usage_rows(engine)
    assert (row["instance"], row["frontend_errors"]) == ("-", {"no_route": 1})


def test_a_finished_file_is_archived_and_its_counts_stay(folder: Path, engine: Engine, clock: SetClock) -> None:
    collector = Collector(folder, engine, clock)
    sealed, dead = Worker(folder, "n:b:w1"), Worker(folder, "n:b:w2")
    sealed.add(CALLS, 1)
    dead.add(CALLS, 2)
    sealed.file.seal()
    collector.writer_gone("n:b:w2")
    collector.collect()
    assert list(folder.glob("*.ctr")) == []
    assert len(list((folder / "archive").iterdir())) == 2
    collector.collect()
    assert stored(engine) == 3
    assert collector.totals["one", "orders"][CALLS] == 3
    with engine.connect() as connection:
        assert is_sealed(connection, "n:b:w1", HOUR)
        assert not is_sealed(connection, "n:b:w1", HOUR + 1)


def test_an_hour_is_settled_when_all_have_sealed_it_or_20_minutes_after(
    folder: Path, engine: Engine, clock: SetClock
) -> None:
    collector = Collector(folder, engine, clock)
    worker = Worker(folder)
    collector.collect()
    assert not collector.sealed_through(HOUR), "the hour is not over"
    clock.at = hour_start(HOUR + 1) + 1
    assert not collector.sealed_through(HOUR), "a worker may still add to it"
    clock.at = hour_start(HOUR) + SETTLE_ANYWAY_S
    assert collector.sealed_through(HOUR), "RULES C.3: stragglers become late usage"
    clock.at = hour_start(HOUR + 1) + 1
    worker.file.seal()
    collector.collect()
    assert collector.sealed_through(HOUR)


CHILD = """
import sys
from pathlib import Path
from metering.cells import CALLS
from metering.counter_file import FIRST_CELL, CounterFileWriter, RowKey
file = CounterFileWriter(Path(sys.argv[1]), "n:b:dead", int(sys.argv[2]), {RowKey("acme", "one", "r", "orders"): 0})
file.words[FIRST_CELL + CALLS] += 3
print(flush=True)
sys.stdin.read()
"""


def test_a_dead_writers_file_is_adopted_without_being_told(folder: Path, engine: Engine, clock: SetClock) -> None:
    """Nobody wrote down that it lived: its lock on the file went with it."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(HOUR)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        collector = Collector(folder, engine, clock)
        collector.collect()
        assert len(list(folder.glob("*.ctr"))) == 1, "it lives"
        clock.at = hour_start(HOUR + 1) + 1
        assert not collector.sealed_through(HOUR)
        child.kill()
    collector.collect()
    assert list(folder.glob("*.ctr")) == []
    assert stored(engine) == 3
    assert collector.sealed_through(HOUR)


@pytest.mark.parametrize(
    "calls, ended, others, front, under_way, is_good",
    [
        pytest.param(5, 5, 0, 0, (0, 0), True, id="all ended"),
        pytest.param(5, 3, 0, 0, (0, 2), True, id="two go on"),
        pytest.param(5, 7, 2, 2, (2, 0), True, id="two came from before, two refused"),
        pytest.param(5, 4, 0, 0, (0, 0), False, id="one never ended"),
        pytest.param(5, 5, 0, 1, (0, 0), False, id="one counted as two"),
        pytest.param(5, 5, 1, 0, (0, 0), False, id="one ended uncounted"),
    ],
)
def test_the_identity_is_checked_when_an_hour_is_sealed(
    folder: Path,
    engine: Engine,
    clock: SetClock,
    calls: int,
    ended: int,
    others: int,
    front: int,
    under_way: tuple[int, int],
    is_good: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """DESIGN 1.6: requests received = calls + WebSocket connections + front-end errors."""
    file = CounterFileWriter(folder, "n:b:w", HOUR, {KEY: 0}, under_way[0])
    for cell, value in (
        (CALLS, calls),
        (DURATION_BUCKETS, ended),
        (OTHER_ENDS, others),
        (FRONTEND_ERRORS["rate_limited"], front),
    ):
        file.words[FIRST_CELL + cell] = value
    collector = Collector(folder, engine, clock)
    collector.collect()
    assert collector.identity_mismatches == 0, "an open hour is not checked"
    file.seal(under_way[1])
    collector.collect()
    assert collector.identity_mismatches == (0 if is_good else 1)
    assert ("were counted" in caplog.text) is not is_good


def test_jumps_of_the_clock_reach_the_control_process(folder: Path, engine: Engine, clock: SetClock) -> None:
    worker = Worker(folder)
    collector = Collector(folder, engine, clock)
    worker.file.note_jumps(2)
    collector.collect()
    worker.file.seal()
    collector.collect()
    collector.collect()
    assert collector.clock_jumps == 2


def test_times_are_not_stored(folder: Path, engine: Engine, clock: SetClock) -> None:
    worker = Worker(folder)
    worker.add(DURATION_BUCKETS, 2)
    collector = Collector(folder, engine, clock)
    collector.collect()
    assert collector.totals["one", "orders"][DURATION_BUCKETS] == 2
    with engine.connect() as connection:
        assert connection.execute(select(counter)).all() == []


def test_a_file_that_never_gets_a_header_is_told_of_once(
    folder: Path, engine: Engine, clock: SetClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    (folder / "1-x.ctr").write_bytes(bytes(5000))
    collector = Collector(folder, engine, clock)
    collector.collect()
    assert collector.broken_files == 0, "it may be being made"
    monkeypatch.setattr("metering.collector.MAKING_S_MAX", -1.0)
    collector.collect()
    collector.collect()
    assert collector.broken_files == 1
    assert caplog.text.count("1-x.ctr") == 1


def test_a_foreign_file_stops_nothing(folder: Path, engine: Engine, clock: SetClock) -> None:
    folder.mkdir()
    (folder / "1-x.ctr").write_bytes(b"nonsense" * 1000)
    (folder / "2-y.ctr").write_bytes(b"")
    worker = Worker(folder)
    worker.add(CALLS)
    collector = Collector(folder, engine, clock)
    collector.collect()
    assert stored(engine) == 1


def test_usage_rows_have_the_shape_of_the_contract(folder: Path, engine: Engine, clock: SetClock) -> None:
    worker = Worker(folder)
    worker.add(CALLS, 2)
    worker.add(INGRESS, 100)
    worker.add(FRONTEND_ERRORS["rate_limited"], 3)
    worker.add(BACKEND_ERRORS["bad_gateway"], 1)
    worker.add(egress_cell("client", "internet", "application"), 500)
    worker.add(egress_cell("refused", "vpc", "wire"), 70)
    worker.add(DURATION_SUM_US, 9)
    Collector(folder, engine, clock).collect()
    assert usage_rows(engine, account="acme", instance="one", service="orders") == [
        {
            "hour": "2023-11-14T22:00:00Z",
            "account": "acme",
            "instance": "one",
            "service": "orders",
            "calls": 2,
            "websocket_connections": 0,
            "frontend_errors": {"rate_limited": 3},
            "backend_errors": {"bad_gateway": 1},
            "ingress": 100,
            "egress": [
                {"side": "client", "network": "internet", "basis": "application", "bytes": 500},
                {"side": "refused", "network": "vpc", "basis": "wire", "bytes": 70},
            ],
        }
    ]
    assert usage_rows(engine, account="other") == []


def test_a_month_is_local(folder: Path, engine: Engine, clock: SetClock) -> None:
    """Hour 2023-10-31T16:00Z is the first of November in Shanghai."""
    for name, hour in (("n:b:1", 471_879), ("n:b:2", 471_880)):
        Worker(folder, name, hour).add(CALLS)
    Collector(folder, engine, clock).collect()
    assert [row["hour"] for row in usage_rows(engine, month="2023-11")] == ["2023-10-31T16:00:00Z"]
    assert [row["hour"] for row in usage_rows(engine, month="2023-10")] == ["2023-10-31T15:00:00Z"]
    with pytest.raises(ValueError, match="month"):
        usage_rows(engine, month="month")


@pytest.mark.parametrize("seed", range(5))
def test_whatever_dies_in_between_rows_and_totals_are_what_was_counted(
    seed: int, folder: Path, engine: Engine, clock: SetClock
) -> None:
    """A model: writers that come, count, seal and die; collectors that are replaced; nothing is lost or doubled."""
    chance = random.Random(seed)
    collector = Collector(folder, engine, clock)
    alive: list[Worker] = []
    counted, born = 0, 0
    for _ in range(200):
        act = chance.random()
        if act < 0.1 or not alive:
            born += 1
            alive.append(Worker(folder, f"n:b:{born}", HOUR + chance.randrange(3)))
        elif act < 0.7:
            amount = chance.randrange(1, 1000)
            chance.choice(alive).add(CALLS, amount)
            counted += amount
        elif act < 0.8:
            alive.pop(chance.randrange(len(alive))).file.seal()
        elif act < 0.85:
            collector.writer_gone(f"n:b:{born}")
            alive = [worker for worker in alive if worker.file.path.name.split("-")[1] != f"n.b.{born}.ctr"]
        elif act < 0.9:
            collector = Collector(folder, engine, clock)
        else:
            collector.collect()
    collector.collect()
    assert stored(engine) == counted, f"seed {seed}"
    assert sum(cells[CALLS] for cells in collector.totals.values()) == counted, f"seed {seed}"


def test_a_row_that_no_store_can_keep_holds_up_no_other(folder: Path, engine: Engine, clock: SetClock) -> None:
    """A count past 63 bits, and ids that are no text: as a broken disk would leave them."""
    writer = CounterFileWriter(folder, "n:1:0", HOUR, {KEY: 0, RowKey("acme", "two", "ap-guangzhou", "x"): 1})
    writer.words[FIRST_CELL + CALLS] = 7
    writer.words[WORDS_PER_ROW + FIRST_CELL + CALLS] = 2**64 - 1
    collector = Collector(folder, engine, clock)
    assert collector.collect() == 1
    writer.words[FIRST_CELL + CALLS] = 9
    assert (collector.collect(), collector.broken_files) == (1, 1)
    assert [(row["instance"], row["calls"]) for row in usage_rows(engine)] == [("one", 9)]
    writer.close()
    collector.close()


@contextmanager
def one_descriptor_left() -> Iterator[None]:
    """Enough to list a folder; a mapping takes two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_file_that_cannot_be_opened_for_want_of_a_descriptor_is_not_given_up(
    engine: Engine, folder: Path, clock: SetClock
) -> None:
    """It was never looked at again: hundreds of calls were missing until the next start."""
    collector = Collector(folder, engine, clock)
    worker = Worker(folder)
    worker.add(CALLS, 7)
    with one_descriptor_left():
        collector._follow_new_files()
        assert not collector._files
    collector.collect()
    assert collector.broken_files == 0
    assert [row["calls"] for row in usage_rows(engine)] == [7]
