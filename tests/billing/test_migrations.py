from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from billing.migrations import migrate
from billing.service import Billing
from billing.tables import create_all, metadata
from config.catalog import load_catalog
from config.prices import load_price_book
from metering.database import open_engine, transaction
from metering.tables import metadata as metering_metadata


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


def test_opening_a_store_brings_it_up_to_date(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/store.db")
    billing = Billing(engine, load_price_book("usd"), load_catalog())
    assert billing.accounts() == []
    engine.dispose()
