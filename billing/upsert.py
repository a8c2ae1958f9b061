"""`INSERT … ON CONFLICT`, which SQLAlchemy spells once for each engine. Built once: that costs more than running."""

from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Connection, Executable, Table
from sqlalchemy.dialects import postgresql, sqlite


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
    insert: Any = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    if conflict == "ignore":
        return cast(Executable, insert.on_conflict_do_nothing())
    new = {column: insert.excluded[column] for column in columns}
    if conflict == "add":
        new = {column: table.c[column] + value for column, value in new.items()}
    return cast(Executable, insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=new))
