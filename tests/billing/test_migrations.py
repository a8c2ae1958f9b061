from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from billing import tables
from billing.migrations import migrate, upgrade
from billing.service import Billing
from billing.tables import create_all, metadata
from config.catalog import load_catalog
from config.prices import load_price_book
from metering.database import open_engine, transaction
from metering.tables import metadata as metering_metadata
from tests.postgres import PostgresServer


def schema(connection: Connection) -> dict[str, str]:
    rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'alembic%'"))
    return {name: "".join(str(sql).split()).lower() for name, sql in rows if sql and "autoindex" not in name}


def test_the_migrations_make_the_present_schema(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/store.db")
    migrate(engine)
    migrate(engine)
    fresh = open_engine("sqlite://")
    with transaction(engine) as migrated, transaction(fresh) as made:
        create_all(made)
        assert compare_metadata(MigrationContext.configure(migrated), [metadata, metering_metadata]) == []
        ours, wanted = schema(migrated), schema(made)
        assert ours.keys() == wanted.keys()
        assert all("strict" in sql for name, sql in ours.items() if name in metadata.tables)
    engine.dispose()
    fresh.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_packs_of_the_version_before_keep_their_lines_and_know_when_they_were_collected(
    kind: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """The table is made anew on SQLite, with lines that point at its rows."""
    engine = open_engine(f"sqlite:///{tmp_path}/store.db" if kind == "sqlite" else postgres_server.database())
    with transaction(engine) as connection:
        upgrade(connection, "0004")
    hour = 480_000
    with transaction(engine) as connection:
        account = {"id": "a", "entity": "a", "currency": "USD", "activated_at": hour * 3600 + 7}
        rest = {"state": "active", "state_at": 0, "has_free_quota": 1, "grants_given": 1, "acts": 0}
        connection.execute(tables.account.insert(), {**account, **rest})
        for key, (id, source, begins) in enumerate(
            [("free-calls-1", "free", hour), ("free-calls-2", "free", hour + 700), ("p", "purchase", hour + 5)], start=1
        ):
            values = f"{key}, 'a', '{id}', 'calls', '{source}', 9, {key}, {begins}, {begins + 720}, 0"
            columns = "key, account, id, meter, source, total, used, from_hour, to_hour, is_refunded"
            connection.exec_driver_sql(f"INSERT INTO pack ({columns}) VALUES ({values})")
        money = dict.fromkeys(("list_e8", "voucher_e8", "gift_e8", "income_e8", "cash_e8"), 0)
        order = {"account": "a", "at": (hour + 5) * 3600 + 99, "kind": "pack", "ref": "p", **money}
        connection.execute(tables.orders.insert(), order)
        line = {"account": "a", "hour": hour + 5, "rev": 1, "instance": "s", "region": "r", "meter": "calls"}
        amounts = {"cover": "pack", "quantity": 3, "unit_price_e8": 0, "per": 1, "list_e8": 0, "amount_e8": 0}
        connection.execute(tables.line.insert(), {**line, **amounts, "pack": 3})
    migrate(engine)
    with transaction(engine) as connection:
        rows = connection.execute(tables.pack.select().order_by(tables.pack.c.key)).all()
        assert [(row.key, row.id, row.used, row.collected_at) for row in rows] == [
            (1, "free-calls-1", 1, hour * 3600 + 7),
            (2, "free-calls-2", 2, (hour + 700) * 3600),
            (3, "p", 3, (hour + 5) * 3600 + 99),
        ]
        several = {**rows[2]._mapping, "key": 4, "meter": "egress"}
        connection.execute(tables.pack.insert(), several)
        with pytest.raises(IntegrityError), connection.begin_nested():
            connection.execute(tables.pack.insert(), {**several, "key": 5})
        with pytest.raises(IntegrityError), connection.begin_nested():
            connection.execute(tables.line.insert(), {**line, **amounts, "pack": 99})
    engine.dispose()


def test_opening_a_store_brings_it_up_to_date(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/store.db")
    billing = Billing(engine, load_price_book("usd"), load_catalog())
    assert billing.accounts() == []
    engine.dispose()
