"""Stores on both engines. PostgreSQL is started once for all tests that want it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from metering.database import open_engine
from tests import postgres

ENGINES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.PostgresServer]:
    reason = postgres.missing()
    if reason is not None:
        if os.environ.get("TOLLGATE_TEST_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)
    server = postgres.PostgresServer()
    yield server
    server.stop()


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty store that several processes can open, on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    server: Any = request.getfixturevalue("postgres_server")
    return str(server.database())


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    made = open_engine(url)
    yield made
    made.dispose()
