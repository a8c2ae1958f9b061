"""The store's engine and its transactions (RULES B.2): SQLite by default, PostgreSQL through psycopg."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.pool import StaticPool

# PostgreSQL's classes of errors that a value makes: data exceptions, and limits of a row or an index.
_VALUE_STATES: Final = ("22", "54")
_STORE_ERRORS: Final = ("OperationalError", "InterfaceError")
BUSY_TIMEOUT_MS = 10_000  # How long a second process (a command beside the node) waits for the writer.


def open_engine(url: str) -> Engine:
    """An engine whose every transaction is one that a power loss cannot halve.

    ``sqlite://`` is a store in memory of this process alone; ``postgresql://`` goes through psycopg.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        return create_engine(parsed, pool_pre_ping=True)
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False}}
    if parsed.database in (None, "", ":memory:"):
        options["poolclass"] = StaticPool
    else:
        Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, **options)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # We say BEGIN ourselves: the driver would do so too late.
        cursor = connection.cursor()
        for pragma in ("synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
            cursor.execute(f"PRAGMA {pragma}")
        _write_ahead(cursor)
        cursor.close()

    @event.listens_for(engine, "begin")
    def began(connection: Connection) -> None:
        # IMMEDIATE: a transaction that reads first and writes later could not be carried out beside another.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Turns a new file to write-ahead logging. SQLite itself does not wait for another that is doing so."""
    deadline_s = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # The low byte: there are several kinds of busy.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
                raise
        time.sleep(0.005)


def is_away(error: BaseException) -> bool:
    """Whether it is the store that fails, and would for everybody: away, full, locked, out of memory.

    Not so a value that it cannot take, or a sum that leaves 64 bits: that is the fault of whose rows these are. Both
    engines call some of those operational, too.
    """
    # A COPY is the driver's own (billing/upsert.py), and raises as that does.
    cause = getattr(error, "orig", None) or error
    if not any(kind.__name__ in _STORE_ERRORS for kind in type(cause).__mro__ + type(error).__mro__):
        return isinstance(error, OSError)
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return str(state)[:2] not in _VALUE_STATES
    # SQLite has one code for all that is wrong with a statement.
    return "integer overflow" not in str(cause)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Commits at the end, rolls back on any exception."""
    with engine.begin() as connection:
        yield connection
