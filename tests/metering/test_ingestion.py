"""Events into the store: each once, all of a batch or none, whatever happens in between. On both engines."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, select, text

from metering.clock import hour_of, hour_start
from metering.database import open_engine, transaction
from metering.events import PAST_HOURS_MAX, EventsInvalid, UsageEvent, field_of, hour_max
from metering.ingestion import Ingested, ingest
from metering.tables import counter, dirty, metadata, seen
from tests.node import until

HOUR = 472_222
NOW_S = float(hour_start(HOUR))


@pytest.fixture
def engine(engine: Engine) -> Engine:
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
    assert crashes >= 8, "forget, five claims, a count, a mark"
    assert ingest(engine, batch, NOW_S, is_batch=True) == Ingested(0, 5)
    assert counted(engine) == {("ce:/edge", HOUR): 15}


def test_ids_are_forgotten_when_their_events_would_be_refused_anyway(engine: Engine) -> None:
    old = usage("a", hour=HOUR)
    ingest(engine, [old], NOW_S, is_batch=False)
    later_s = float(hour_start(HOUR + PAST_HOURS_MAX))
    ingest(engine, [replace(old, id="b", hour=HOUR + 1)], later_s, is_batch=False)
    with engine.connect() as connection:
        assert set(connection.execute(select(seen.c.id)).scalars()) == {"a", "b"}
    newest = HOUR + PAST_HOURS_MAX + 1
    ingest(engine, [replace(old, id="c", hour=newest)], later_s + 3600, is_batch=False)
    ingest(engine, [replace(old, id="d", hour=newest)], later_s + 3600, is_batch=False)
    with engine.connect() as connection:
        assert set(connection.execute(select(seen.c.id)).scalars()) == {"b", "c", "d"}


@pytest.mark.parametrize("days", [63, 90, 4000])
def test_a_clock_that_was_ahead_once_makes_no_repeat_count_twice(engine: Engine, days: int) -> None:
    """It said of every event that it is old, and of the next one that it is new."""
    first, ahead_s = usage("a", 5), NOW_S + days * 86_400
    ingest(engine, [first], NOW_S, is_batch=False)
    ahead = usage("b", 1, hour=hour_of(ahead_s))
    for now_s in (ahead_s, ahead_s, ahead_s + 3600):
        ingest(engine, [ahead], now_s, is_batch=False)
        # The ids of the first hour are gone, or are still there: in neither case is it counted again.
        with suppress(EventsInvalid):
            assert ingest(engine, [first], NOW_S, is_batch=False) == Ingested(0, 1)
    with pytest.raises(EventsInvalid) as error:
        ingest(engine, [usage("c", 1), first], NOW_S + 60, is_batch=True)
    assert [fault.path for fault in error.value.faults] == ["[0].time", "[1].time"]
    assert counted(engine) == {("ce:/edge", HOUR): 5, ("ce:/edge", ahead.hour): 1}


def test_a_clock_that_was_ahead_without_an_event_of_its_time_forgets_nothing(engine: Engine) -> None:
    ingest(engine, [usage("a", 5)], NOW_S, is_batch=False)
    ingest(engine, [], NOW_S + 90 * 86_400, is_batch=True)
    assert ingest(engine, [usage("a", 5)], NOW_S, is_batch=False) == Ingested(0, 1)
    assert ingest(engine, [usage("b", 1)], NOW_S, is_batch=False) == Ingested(1, 0)


@pytest.mark.parametrize("meter", ["calls", "egress:client:internet:application"])
def test_an_accounts_hour_has_a_bound_over_all_sources_and_services(engine: Engine, meter: str) -> None:
    """Each event fits, and the sum would not: it is refused with its place, and what was there stays."""
    most = hour_max(meter)
    sixteenth = replace(usage("0", hour=HOUR), amounts={meter: most // 16})
    full = [replace(sixteenth, id=str(n), source=f"/edge/{n % 3}", service=f"s{n % 5}") for n in range(16)]
    for one in full:
        assert ingest(engine, [one], NOW_S, is_batch=False) == Ingested(1, 0)
    one_more = replace(sixteenth, id="x", amounts={meter: 1}, instance="s2", source="/other")
    elsewhere = replace(one_more, id="y", hour=HOUR - 1)
    with pytest.raises(EventsInvalid) as error:
        ingest(engine, [elsewhere, one_more], NOW_S, is_batch=True)
    assert [fault.path for fault in error.value.faults] == [f"[1].{field_of(meter)}"]
    assert ingest(engine, [*full, elsewhere], NOW_S, is_batch=True) == Ingested(1, 16)
    assert sum(counted(engine).values()) == most + 1


def test_a_counter_that_an_older_version_let_grow_too_large_refuses_events_of_its_hour_alone(engine: Engine) -> None:
    row = {"account": "acme", "instance": "s1", "region": "ap-guangzhou", "service": "orders", "meter": "calls"}
    with transaction(engine) as connection:
        for writer in ("ce:/edge", "ce:/other"):
            connection.execute(counter.insert(), {**row, "writer": writer, "hour": HOUR, "value": 2**63 - 1})
    with pytest.raises(EventsInvalid, match="1 faults"):
        ingest(engine, [usage("a", 1)], NOW_S, is_batch=False)
    assert ingest(engine, [usage("a", 1, hour=HOUR - 1)], NOW_S, is_batch=False) == Ingested(1, 0)


class PowerGone(Exception):
    """The first writer's end."""


def beside(url: str, first: list[UsageEvent], second: list[UsageEvent], *, first_dies: bool = False) -> list[Any]:
    """What two writers get whose transactions run at once: the first has claimed, and goes on once the second waits."""
    has_claimed, may_end = Event(), Event()
    one, two = open_engine(url), open_engine(url)

    @event.listens_for(one, "after_cursor_execute")
    def pause(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("INSERT INTO seen") and not has_claimed.is_set():
            has_claimed.set()
            assert may_end.wait(20)
            if first_dies:
                raise PowerGone

    def is_waiting(at: Future[Ingested]) -> bool:
        if two.dialect.name == "sqlite":
            return at.running()  # It cannot even begin; nobody is told.
        with two.connect() as connection:
            waiting = "datname = current_database() AND wait_event_type = 'Lock'"
            return connection.execute(text(f"SELECT count(*) FROM pg_stat_activity WHERE {waiting}")).scalar_one() == 1

    def outcome(ask: Callable[[], Ingested]) -> Any:
        try:
            return ask()
        except (PowerGone, EventsInvalid) as error:
            return type(error)

    try:
        with ThreadPoolExecutor(2) as threads:
            first_done = threads.submit(ingest, one, first, NOW_S, is_batch=True)
            assert has_claimed.wait(20)
            second_done = threads.submit(ingest, two, second, NOW_S, is_batch=True)
            try:
                until(lambda: is_waiting(second_done), "the second writer waits for the first")
            finally:
                may_end.set()
            return [outcome(first_done.result), outcome(second_done.result)]
    finally:
        one.dispose()
        two.dispose()


@pytest.mark.parametrize("order", [1, -1])
def test_two_writers_at_once_count_an_event_once(engine: Engine, url: str, order: int) -> None:
    """In whichever order each has them: they may not wait for each other either."""
    batch = [usage("a", 5), usage("b", 7), usage("c", 1)]
    assert beside(url, batch, batch[::order]) == [Ingested(3, 0), Ingested(0, 3)]
    assert counted(engine) == {("ce:/edge", HOUR): 13}
    assert beside(url, [usage("d", 1)], [usage("d", 1), usage("e", 1)]) == [Ingested(1, 0), Ingested(1, 1)]
    assert counted(engine) == {("ce:/edge", HOUR): 15}


def test_what_one_writer_claimed_and_did_not_commit_the_other_counts(engine: Engine, url: str) -> None:
    assert beside(url, [usage("a", 5)], [usage("a", 5)], first_dies=True) == [PowerGone, Ingested(1, 0)]
    assert counted(engine) == {("ce:/edge", HOUR): 5}


def test_of_two_writers_at_once_with_different_content_one_is_refused(engine: Engine, url: str) -> None:
    assert beside(url, [usage("a", 5)], [usage("a", 6)]) == [Ingested(1, 0), EventsInvalid]
    assert counted(engine) == {("ce:/edge", HOUR): 5}
