"""The door for usage metered elsewhere: events into the store, each once, a batch whole or not at all.

An event's id is claimed in the transaction that counts it: a crash in between leaves neither, and a repeat finds
both (RULES C.3). A repeat that says something else is refused.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from sqlalchemy import Connection, Engine, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from config.errors import Fault
from metering.clock import hour_of
from metering.database import transaction
from metering.events import PAST_HOURS_MAX, EventsInvalid, UsageEvent
from metering.tables import counter, dirty, seen

_Row = tuple[str, str, str, str, str, str, int]  # a counter's key


class Ingested(NamedTuple):
    """How many events were counted now, and how many had been before."""

    accepted: int
    duplicates: int


def ingest(engine: Engine, events: list[UsageEvent], now_s: float, *, is_batch: bool) -> Ingested:
    """Counts those that are new, in one transaction. Raises EventsInvalid with nothing counted."""
    amounts: defaultdict[_Row, int] = defaultdict(int)
    changed: list[int] = []
    accepted = 0
    with transaction(engine) as connection:
        _forget(connection, hour_of(now_s))
        # In one order for everybody: two writers with the same events would else wait for each other (PostgreSQL).
        for index, event in sorted(enumerate(events), key=lambda item: (item[1].source, item[1].id)):
            claimed = _claim(connection, event)
            if claimed is None:
                accepted += 1
                for meter, amount in event.amounts.items():
                    row = (event.writer, event.account, event.instance, event.region, event.service, meter, event.hour)
                    amounts[row] += amount
            elif claimed != event.digest:
                changed.append(index)
        if changed:
            raise EventsInvalid([_changed(events[at], at, is_batch) for at in sorted(changed)])  # and rolls back
        _add(connection, amounts)
    return Ingested(accepted, len(events) - accepted)


def _changed(event: UsageEvent, index: int, is_batch: bool) -> Fault:
    path = f"[{index}].id" if is_batch else "id"
    return Fault(path, f"{event.id} of {event.source} was counted before with other content")


def _claim(connection: Connection, event: UsageEvent) -> bytes | None:
    """None: the event is new, and its id now taken. Else the digest it was counted with."""
    insert = _insert(connection)(seen).values(
        source=event.source, id=event.id, hour=event.hour, digest=event.digest.hex()
    )
    if connection.execute(insert.on_conflict_do_nothing().returning(seen.c.id)).first() is not None:
        return None
    found = select(seen.c.digest).where(seen.c.source == event.source, seen.c.id == event.id)
    return bytes.fromhex(connection.execute(found).scalar_one())


def _add(connection: Connection, amounts: dict[_Row, int]) -> None:
    columns = ("writer", "account", "instance", "region", "service", "meter", "hour")
    marks = set()
    for row, amount in sorted(amounts.items()):
        if amount == 0:
            continue
        values = _insert(connection)(counter).values(**dict(zip(columns, row, strict=True)), value=amount)
        connection.execute(
            values.on_conflict_do_update(
                index_elements=list(counter.primary_key.columns),
                set_={"value": counter.c.value + values.excluded.value},
            )
        )
        marks.add((row[1], row[6]))
    for account, hour in sorted(marks):
        # Locked even where it is marked already, see metering/collector.py.
        mark = _insert(connection)(dirty).values(account=account, hour=hour)
        connection.execute(mark.on_conflict_do_update(index_elements=["account", "hour"], set_={"hour": hour}))


def _forget(connection: Connection, hour: int) -> None:
    """Ids of events that would be refused for their age now: a repeat of one is no danger any more."""
    connection.execute(delete(seen).where(seen.c.hour < hour - PAST_HOURS_MAX))


def _insert(connection: Connection) -> type[postgresql.Insert] | type[sqlite.Insert]:
    return postgresql.Insert if connection.dialect.name == "postgresql" else sqlite.Insert
