"""Events into the store: each once, all of a batch or none, whatever happens in between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, func, select

from metering.clock import hour_start
from metering.database import open_engine, transaction
from metering.events import PAST_HOURS_MAX, EventsInvalid, UsageEvent
from metering.ingestion import Ingested, ingest
from metering.tables import counter, dirty, metadata, seen

HOUR = 472_222
NOW_S = float(hour_start(HOUR))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = open_engine(f"sqlite:///{tmp_path}/tollgate.db")
    metadata.create_all(engine)
    return engine


def usage(id: str, calls: int = 1, hour: int = HOUR, source: str = "/edge") -> UsageEvent:
    return UsageEvent(
        id, source, "acme", "s1", "ap-guangzhou", "orders", hour, {"calls": calls, "ingress": 0}, b"%d" % calls
    )


def counted(engine: Engine) -> dict[tuple[str, int], int]:
    with engine.connect() as connection:
        query = select(counter.c.writer, counter.c.hour, func.sum(counter.c.value)).group_by(
            counter.c.writer, counter.c.hour
        )
        return {(writer, hour): value for writer, hour, value in connection.execute(query)}


def marks(engine: Engine) -> list[tuple[str, int]]:
    with engine.connect() as connection:
        return [(account, hour) for account, hour in connection.execute(select(dirty))]


def test_an_event_is_counted_once(engine: Engine) -> None:
    assert ingest(engine, [usage("a", 5)], NOW_S, is_batch=False) == Ingested(1, 0)
    with transaction(engine) as connection:
        connection.execute(dirty.delete())
    assert ingest(engine, [usage("a", 5)], NOW_S, is_batch=False) == Ingested(0, 1)
    assert counted(engine) == {("ce:/edge", HOUR): 5}
    assert marks(engine) == [], "no growth, no mark"
    batch = [usage("a", 5), usage("b", 7), usage("b", 7), usage("c", 1, HOUR - 1), usage("a", 2, source="/other")]
    assert ingest(engine, batch, NOW_S, is_batch=True) == Ingested(3, 2)
    assert counted(engine) == {("ce:/edge", HOUR): 12, ("ce:/edge", HOUR - 1): 1, ("ce:/other", HOUR): 2}
    assert sorted(marks(engine)) == [("acme", HOUR - 1), ("acme", HOUR)]


def test_a_repeat_with_other_content_is_refused_and_nothing_of_its_batch_is_counted(engine: Engine) -> None:
    ingest(engine, [usage("a", 5)], NOW_S, is_batch=False)
    with pytest.raises(EventsInvalid) as error:
        ingest(engine, [usage("b", 1), usage("a", 6)], NOW_S, is_batch=True)
    assert [fault.path for fault in error.value.faults] == ["[1].id"]
    assert counted(engine) == {("ce:/edge", HOUR): 5}
    assert ingest(engine, [usage("b", 1)], NOW_S, is_batch=True) == Ingested(1, 0), "its id was not claimed"


def test_a_crash_at_any_statement_leaves_neither_the_claim_nor_the_count(engine: Engine) -> None:
    """RULES C.3: never claim the id first. Every statement is the last one once; the sender sends again."""
    left = [0]

    @event.listens_for(engine, "before_cursor_execute")
    def fuse(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("the power is gone")

    batch = [usage(str(number), number) for number in range(1, 6)]
    crashes = 0
    for number in range(1, 100):
        left[0] = number
        try:
            done = ingest(engine, batch, NOW_S, is_batch=True)
        except RuntimeError:
            crashes += 1
            left[0] = 0
            assert counted(engine) == {}
            continue
        left[0] = 0
        assert done == Ingested(5, 0)
        break
    assert crashes >= 9, "begin, forget, five claims, a count, a mark"
    assert ingest(engine, batch, NOW_S, is_batch=True) == Ingested(0, 5)
    assert counted(engine) == {("ce:/edge", HOUR): 15}


def test_ids_are_forgotten_when_their_events_would_be_refused_anyway(engine: Engine) -> None:
    old = usage("a", hour=HOUR)
    ingest(engine, [old], NOW_S, is_batch=False)
    later_s = float(hour_start(HOUR + PAST_HOURS_MAX))
    ingest(engine, [replace(old, id="b", hour=HOUR + 1)], later_s, is_batch=False)
    with engine.connect() as connection:
        assert set(connection.execute(select(seen.c.id)).scalars()) == {"a", "b"}
    ingest(engine, [replace(old, id="c", hour=HOUR + 1)], later_s + 3600, is_batch=False)
    with engine.connect() as connection:
        assert set(connection.execute(select(seen.c.id)).scalars()) == {"b", "c"}
