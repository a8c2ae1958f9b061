"""The door for usage metered elsewhere: events into the store, each once, a batch whole or not at all.

An event's id is claimed in the transaction that counts it: a crash in between leaves neither, and a repeat finds
both (RULES C.3). A repeat that says something else is refused, and so is one of which nobody could tell any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from config.errors import Fault
from metering.clock import hour_of
from metering.database import transaction
from metering.events import PAST_HOURS_MAX, EventsInvalid, UsageEvent, field_of, hour_max
from metering.sums import exact_sum
from metering.tables import counter, dirty, seal, seen

# All senders of events, as a writer that is past the hours of which the ids are forgotten.
EVENTS_WRITER: Final = "ce:"

_Row = tuple[str, str, str, str, str, str, int]  # a counter's key
_Claimed = list[tuple[int, UsageEvent]]  # with the place in the batch


class Ingested(NamedTuple):
    """How many events were counted now, and how many had been before."""

    accepted: int
    duplicates: int


def ingest(engine: Engine, events: list[UsageEvent], now_s: float, *, is_batch: bool) -> Ingested:
    """Counts those that are new, in one transaction. Raises EventsInvalid with nothing counted."""
    with transaction(engine) as connection:
        kept_from = _forget(connection, hour_of(now_s))
        places = [_path(at, is_batch, "time") for at, event in enumerate(events) if event.hour < kept_from]
        if places:
            raise EventsInvalid([Fault(path, "is of an hour whose events are no longer told apart") for path in places])
        new = _claim_all(connection, events, is_batch=is_batch)
        # Marked, and by that locked, before it is looked how much there is (see metering/collector.py).
        _mark(connection, (event for _, event in new))
        _require_room(connection, new, is_batch=is_batch)
        _add(connection, (event for _, event in new))
    return Ingested(len(new), len(events) - len(new))


def _claim_all(connection: Connection, events: list[UsageEvent], *, is_batch: bool) -> _Claimed:
    """Those that are new, in their order. Raises EventsInvalid where one was counted with other content."""
    new: _Claimed = []
    changed: list[int] = []
    # In one order for everybody: two writers with the same events would else wait for each other (PostgreSQL).
    for index, event in sorted(enumerate(events), key=lambda item: (item[1].source, item[1].id)):
        claimed = _claim(connection, event)
        if claimed is None:
            new.append((index, event))
        elif claimed != event.digest:
            changed.append(index)
    if changed:
        raise EventsInvalid([_changed(events[at], at, is_batch) for at in sorted(changed)])  # and rolls back
    return sorted(new, key=lambda item: item[0])


def _changed(event: UsageEvent, index: int, is_batch: bool) -> Fault:
    return Fault(_path(index, is_batch, "id"), f"{event.id} of {event.source} was counted before with other content")


def _path(index: int, is_batch: bool, field: str) -> str:
    return f"[{index}].{field}" if is_batch else field


def _claim(connection: Connection, event: UsageEvent) -> bytes | None:
    """None: the event is new, and its id now taken. Else the digest it was counted with."""
    insert = _insert(connection)(seen).values(
        source=event.source, id=event.id, hour=event.hour, digest=event.digest.hex()
    )
    if connection.execute(insert.on_conflict_do_nothing().returning(seen.c.id)).first() is not None:
        return None
    found = select(seen.c.digest).where(seen.c.source == event.source, seen.c.id == event.id)
    return bytes.fromhex(connection.execute(found).scalar_one())


def _mark(connection: Connection, events: Iterable[UsageEvent]) -> None:
    """The hours in which something grows."""
    for account, hour in sorted({(event.account, event.hour) for event in events if any(event.amounts.values())}):
        # Locked even where it is marked already, see metering/collector.py.
        mark = _insert(connection)(dirty).values(account=account, hour=hour)
        connection.execute(mark.on_conflict_do_update(index_elements=["account", "hour"], set_={"hour": hour}))


def _require_room(connection: Connection, new: _Claimed, *, is_batch: bool) -> None:
    """Raises EventsInvalid for each with which an account's hour would have more than can be added up."""
    counted = _counted(connection, (event for _, event in new))
    faults: list[Fault] = []
    for index, event in new:
        for meter, amount in event.amounts.items():
            key = (event.account, event.hour, meter)
            counted[key] += amount
            if amount and counted[key] > hour_max(meter):
                message = f"would bring {event.account} above {hour_max(meter)} {meter} in the hour"
                faults.append(Fault(_path(index, is_batch, field_of(meter)), message))
    if faults:
        raise EventsInvalid(faults)


def _counted(connection: Connection, events: Iterable[UsageEvent]) -> defaultdict[tuple[str, int, str], int]:
    """What there is, by account, hour and meter, over all writers."""
    hours: defaultdict[str, set[int]] = defaultdict(set)
    for event in events:
        hours[event.account].add(event.hour)
    counted: defaultdict[tuple[str, int, str], int] = defaultdict(int)
    c = counter.c
    for account, of_account in hours.items():
        query = select(c.hour, c.meter, exact_sum(c.value)).where(c.account == account, c.hour.in_(sorted(of_account)))
        for hour, meter, value in connection.execute(query.group_by(c.hour, c.meter)):
            counted[account, hour, meter] = value
    return counted


def _add(connection: Connection, events: Iterable[UsageEvent]) -> None:
    columns = ("writer", "account", "instance", "region", "service", "meter", "hour")
    amounts: defaultdict[_Row, int] = defaultdict(int)
    for event in events:
        for meter, amount in event.amounts.items():
            row = (event.writer, event.account, event.instance, event.region, event.service, meter, event.hour)
            amounts[row] += amount
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


def _forget(connection: Connection, hour: int) -> int:
    """Drops ids of events that would be refused for their age; returns the first hour whose ids are all kept.

    A clock that was ahead once says of all that they are old: so it is not asked alone, but the newest event, too.
    And what is gone is noted: an event of such an hour is refused, whatever the clock says later.
    """
    noted = connection.execute(select(seal.c.through_hour).where(seal.c.writer == EVENTS_WRITER)).scalar()
    kept_from = 0 if noted is None else noted + 1
    newest = connection.execute(select(func.max(seen.c.hour))).scalar()
    keep_from = min(hour, hour if newest is None else newest) - PAST_HOURS_MAX
    if newest is None or keep_from <= kept_from:
        return kept_from
    dropped = connection.execute(delete(seen).where(seen.c.hour < keep_from)).rowcount
    if not dropped:
        return kept_from
    mark = _insert(connection)(seal).values(writer=EVENTS_WRITER, through_hour=keep_from - 1)
    connection.execute(
        mark.on_conflict_do_update(index_elements=["writer"], set_={"through_hour": mark.excluded.through_hour})
    )
    return keep_from


def _insert(connection: Connection) -> type[postgresql.Insert] | type[sqlite.Insert]:
    return postgresql.Insert if connection.dialect.name == "postgresql" else sqlite.Insert
