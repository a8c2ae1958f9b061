"""The store's engine on SQLite: several processes, one file."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy

from metering import database
from metering.database import open_engine

OPENERS = 4


def test_a_new_file_is_opened_by_several_at_once(tmp_path: Path) -> None:
    """Which of them turns it to write-ahead logging is nobody's business, and the others wait for it."""
    together = Barrier(OPENERS)

    def opened(path: Path) -> str:
        engine = open_engine(f"sqlite:///{path}")
        together.wait(10)
        with engine.begin() as connection:
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        engine.dispose()
        return str(mode)

    with ThreadPoolExecutor(OPENERS) as threads:
        for number in range(30):
            assert list(threads.map(opened, [tmp_path / f"{number}.sqlite"] * OPENERS)) == ["wal"] * OPENERS


def test_a_file_that_stays_locked_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    other = sqlite3.connect(tmp_path / "s.sqlite")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlalchemy.exc.OperationalError, match="locked"):
        open_engine(f"sqlite:///{tmp_path / 's.sqlite'}").connect()
    other.close()


def test_what_is_no_store_is_told_of_at_once(tmp_path: Path) -> None:
    (tmp_path / "s.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(sqlalchemy.exc.DatabaseError, match="not a database"):
        open_engine(f"sqlite:///{tmp_path / 's.sqlite'}").connect()
