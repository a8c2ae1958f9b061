"""Counter rows into the store, hundreds to a statement: they only ever rise, so writing one again changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Dialect
from sqlalchemy.dialects import postgresql, sqlite

from metering.tables import counter

COLUMNS: Final = ("writer", "account", "instance", "region", "service", "meter", "hour", "value")
# Rows of a statement. To have SQLAlchemy word one takes ten times as long as to run it, so there are few, and kept.
BATCHES: Final = (500, 50, 5, 1)
Row = dict[str, Any]
_values = itemgetter(*COLUMNS)


def raise_counters(connection: Connection, rows: Sequence[Row]) -> set[tuple[str, int]]:
    """Writes what is higher than what is there; the (account, hour) of what was. No two rows with the same key."""
    risen: set[tuple[str, int]] = set()
    for batch in _batches(rows):
        text, names = _statement(connection.dialect, len(batch))
        values = tuple(chain.from_iterable(map(_values, batch)))
        given = values if connection.dialect.positional else dict(zip(names, values, strict=True))
        risen |= {(account, hour) for account, hour in connection.exec_driver_sql(text, given)}
    return risen


def _batches(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    at = 0
    for size in BATCHES:
        while len(rows) - at >= size:
            yield rows[at : at + size]
            at += size


@lru_cache
def _statement(dialect: Dialect, rows: int) -> tuple[str, tuple[str, ...]]:
    """SQL for so many rows, and its parameters' names in the order of the rows' values."""
    insert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
    values = insert(counter).values([dict.fromkeys(COLUMNS, 0)] * rows)
    statement = values.on_conflict_do_update(
        index_elements=list(counter.primary_key.columns),
        set_={"value": values.excluded.value},
        where=values.excluded.value > counter.c.value,
    ).returning(counter.c.account, counter.c.hour)
    compiled = statement.compile(dialect=dialect)
    names = tuple(f"{column}_m{row}" for row in range(rows) for column in COLUMNS)
    if tuple(compiled.positiontup or names) != names or set(compiled.params) != set(names):
        raise AssertionError("SQLAlchemy orders or names the parameters of a statement otherwise than it did")
    return str(compiled), names
