"""Stores for the lives of `lives.py`: three accounts at their beginning, on either engine, fresh for each life."""

from __future__ import annotations

import sqlite3
from typing import Any, Protocol

from sqlalchemy import Engine

from billing.service import Billing
from billing.tables import create_all
from config.catalog import load_catalog
from config.prices import load_price_book
from metering.database import open_engine, transaction
from tests.billing.world import at
from tests.postgres import PostgresServer

# The last of a month, at noon: grants of the shorter months after it are clipped (X3).
BEGIN = at("2024-01-31 12:00")
# Two accounts of one company, which has one five-day refund (B43). The free quota of `c` has its last month.
ACCOUNTS = {"a": ("company", False), "b": ("company", True), "c": ("c", True)}
ACTIVATED = {"c": at("2023-02-28 09:30")}
BOOK, CATALOG = load_price_book("usd"), load_catalog()


class Stores(Protocol):
    def fresh(self) -> Billing:
        """On a store as `founded` left it."""
        ...

    def close(self) -> None: ...


def founded(engine: Engine) -> None:
    """The three accounts, each with two shared instances."""
    with transaction(engine) as connection:
        create_all(connection)
    billing = opened(engine)
    for id, (entity, has_free_quota) in ACCOUNTS.items():
        since = ACTIVATED.get(id, BEGIN)
        billing.open_account(id, BEGIN, activated_at=since, entity=entity, has_free_quota=has_free_quota)
        billing.open_shared_instance(id, f"s-{id}", "ap-guangzhou", BEGIN)
        billing.open_shared_instance(id, f"t-{id}", "ap-hongkong", BEGIN)
    billing.settle(BEGIN, lambda hour: True)


def opened(engine: Engine) -> Billing:
    return Billing(engine, BOOK, CATALOG, is_migrated=True)


class SqliteStores:
    """One in memory, put back for each life: to make it anew takes longer than to live."""

    def __init__(self) -> None:
        self._engine = open_engine("sqlite://")
        founded(self._engine)
        self._template = sqlite3.connect(":memory:")
        self._connection = self._engine.raw_connection()
        self._store: Any = self._connection.driver_connection
        self._store.backup(self._template)

    def fresh(self) -> Billing:
        self._template.backup(self._store)
        return opened(self._engine)

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()
        self._template.close()


class PostgresStores:
    """A database for each life, copied from one that nobody has open."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._template = server.database()
        engine = open_engine(self._template)
        founded(engine)
        engine.dispose()
        self._life: tuple[str, Engine] | None = None

    def fresh(self) -> Billing:
        self.close()
        url = self._server.database(self._template)
        engine = open_engine(url)
        self._life = url, engine
        return opened(engine)

    def close(self) -> None:
        if self._life is not None:
            url, engine = self._life
            engine.dispose()
            self._server.drop(url)
            self._life = None
