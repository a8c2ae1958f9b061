"""`INSERT … ON CONFLICT`, which SQLAlchemy spells once for each engine. Built once: that costs more than running."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Connection, Executable, Table, insert
from sqlalchemy.dialects import postgresql, sqlite

# Fewer rows are as fast one by one.
COPY_ROWS_MIN = 16


def append_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Many new rows at once, all with the same columns; within the transaction, like any statement."""
    if not rows:
        return
    if connection.dialect.name == "postgresql" and len(rows) >= COPY_ROWS_MIN:
        _copy(connection, table, rows)
    else:
        connection.execute(_append(table), rows)


def _copy(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """By COPY: with a statement for each row, settling a long absence took three times as long on PostgreSQL."""
    columns = list(rows[0])
    names = ", ".join(f'"{name}"' for name in columns)
    cursor: Any = connection.connection.cursor()
    try:
        with cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy:
            for row in rows:
                copy.write_row([row[name] for name in columns])
    finally:
        cursor.close()


@lru_cache(maxsize=64)
def _append(table: Table) -> Executable:
    return insert(table)


def insert_or_ignore(connection: Connection, table: Table) -> Executable:
    """A row that is there already stays as it is."""
    return _build(connection.dialect.name, table, "ignore", ())


def insert_or_replace(connection: Connection, table: Table, *columns: str) -> Executable:
    """A row that is there already takes the new values of these columns."""
    return _build(connection.dialect.name, table, "replace", columns)


def insert_or_add(connection: Connection, table: Table, *columns: str) -> Executable:
    """A row that is there already has the new values added to these columns."""
    return _build(connection.dialect.name, table, "add", columns)


@lru_cache(maxsize=64)
def _build(dialect: str, table: Table, conflict: str, columns: tuple[str, ...]) -> Executable:
    upsert: Any = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    if conflict == "ignore":
        return cast(Executable, upsert.on_conflict_do_nothing())
    new = {column: upsert.excluded[column] for column in columns}
    if conflict == "add":
        new = {column: table.c[column] + value for column, value in new.items()}
    return cast(Executable, upsert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=new))
