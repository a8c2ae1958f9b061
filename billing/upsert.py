"""Rows by the thousand, and `INSERT … ON CONFLICT`, which each engine wants said in its own way.

SQLite takes a prepared statement for each row: it is in the same process. PostgreSQL is sent the columns as arrays,
or as a COPY: a statement for each row took five times as long there. Statements are built once: that costs more
than running them.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import Connection, Executable, Table, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

Rows = Sequence[Mapping[str, Any]]

# Fewer rows are as fast one by one.
COPY_ROWS_MIN = 16


def append_rows(connection: Connection, table: Table, rows: Rows) -> None:
    """Many new rows at once, all with the same columns; within the transaction, like any statement."""
    if not rows:
        return
    columns = tuple(rows[0])
    values = map(itemgetter(*columns), rows)
    if connection.dialect.name == "sqlite":
        # Past SQLAlchemy's parameters by name, which take as long for a row as SQLite does.
        connection.exec_driver_sql(_append(table, columns), list(values))
    elif _at_once(connection, rows):
        _copy(connection, table, columns, values)
    else:
        connection.execute(insert(table), rows)


def replace_rows(connection: Connection, table: Table, columns: tuple[str, ...], rows: Rows) -> None:
    """New rows; where one is there already it takes the new values of these columns. No two with the same key."""
    _put_rows(connection, table, "replace", columns, rows)


def add_rows(connection: Connection, table: Table, columns: tuple[str, ...], rows: Rows) -> None:
    """New rows; where one is there already the new values of these columns are added. No two with the same key."""
    _put_rows(connection, table, "add", columns, rows)


def ignore_rows(connection: Connection, table: Table, rows: Rows) -> None:
    """New rows; one that is there already stays as it is."""
    _put_rows(connection, table, "ignore", (), rows)


def update_rows(connection: Connection, table: Table, key: str, columns: tuple[str, ...], rows: Rows) -> None:
    """New values of these columns for the rows with these keys."""
    _change_rows(connection, table, "replace", key, columns, rows)


def add_to_rows(connection: Connection, table: Table, key: str, columns: tuple[str, ...], rows: Rows) -> None:
    """These values added to the columns of the rows with these keys."""
    _change_rows(connection, table, "add", key, columns, rows)


def insert_or_replace(connection: Connection, table: Table, *columns: str) -> Executable:
    """A row that is there already takes the new values of these columns."""
    return _build(connection.dialect.name, table, "replace", columns)


def _at_once(connection: Connection, rows: Rows) -> bool:
    return connection.dialect.name == "postgresql" and len(rows) >= COPY_ROWS_MIN


def _copy(connection: Connection, table: Table, columns: tuple[str, ...], values: Iterable[tuple[Any, ...]]) -> None:
    cursor: Any = connection.connection.cursor()
    try:
        with cursor.copy(f'COPY "{table.name}" ({_names(columns)}) FROM STDIN') as copy:
            for row in values:
                copy.write_row(row)
    finally:
        cursor.close()


@lru_cache(maxsize=64)
def _append(table: Table, columns: tuple[str, ...]) -> str:
    return f'INSERT INTO "{table.name}" ({_names(columns)}) VALUES ({", ".join("?" * len(columns))})'  # noqa: S608


def _names(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _put_rows(connection: Connection, table: Table, conflict: str, columns: tuple[str, ...], rows: Rows) -> None:
    if not rows:
        return
    if _at_once(connection, rows):
        connection.execute(_put_arrays(table, conflict, columns, tuple(rows[0])), _arrays(rows, rows[0]))
    else:
        connection.execute(_build(connection.dialect.name, table, conflict, columns), rows)


def _change_rows(
    connection: Connection, table: Table, change: str, key: str, columns: tuple[str, ...], rows: Rows
) -> None:
    if not rows:
        return
    if _at_once(connection, rows):
        connection.execute(_change_arrays(table, change, key, columns), _arrays(rows, (key, *columns)))
    else:
        connection.execute(
            _change(table, change, key, columns),
            [{f"new_{name}": row[name] for name in (key, *columns)} for row in rows],
        )


def _arrays(rows: Rows, columns: Any) -> dict[str, list[Any]]:
    return {f"new_{name}": [row[name] for row in rows] for name in columns}


@lru_cache(maxsize=64)
def _build(dialect: str, table: Table, conflict: str, columns: tuple[str, ...]) -> Executable:
    upsert: Any = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    return _on_conflict(upsert, table, conflict, columns)


def _on_conflict(upsert: Any, table: Table, conflict: str, columns: tuple[str, ...]) -> Executable:
    if conflict == "ignore":
        return cast(Executable, upsert.on_conflict_do_nothing())
    new = {column: upsert.excluded[column] for column in columns}
    if conflict == "add":
        new = {column: table.c[column] + value for column, value in new.items()}
    return cast(Executable, upsert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=new))


@lru_cache(maxsize=64)
def _put_arrays(table: Table, conflict: str, columns: tuple[str, ...], names: tuple[str, ...]) -> Executable:
    given = postgresql.insert(table).from_select(list(names), select(*_unnested(table, names)))
    return _on_conflict(given, table, conflict, columns)


@lru_cache(maxsize=64)
def _change(table: Table, change: str, key: str, columns: tuple[str, ...]) -> Executable:
    values: dict[str, Any] = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in columns}
    return cast(Executable, _changed(table, change, values).where(table.c[key] == bindparam(f"new_{key}")))


@lru_cache(maxsize=64)
def _change_arrays(table: Table, change: str, key: str, columns: tuple[str, ...]) -> Executable:
    given = select(*_unnested(table, (key, *columns))).subquery()
    changed = _changed(table, change, {name: given.c[name] for name in columns})
    return cast(Executable, changed.where(table.c[key] == given.c[key]))


def _changed(table: Table, change: str, values: dict[str, Any]) -> Any:
    if change == "add":
        values = {name: table.c[name] + value for name, value in values.items()}
    return update(table).values(**values)


def _unnested(table: Table, names: tuple[str, ...]) -> list[Any]:
    """A parameter for each column, an array of its values in all rows; together they are rows again."""
    arrays = {name: bindparam(f"new_{name}", type_=postgresql.ARRAY(table.c[name].type)) for name in names}
    return [func.unnest(array).label(name) for name, array in arrays.items()]
