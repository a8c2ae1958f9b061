"""Schema versions of the store: billing's tables and metering's. Needs no ini file; runs at open."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, func, select

from metering.database import transaction

# Of PostgreSQL's advisory locks, which are numbers: any that nobody else uses in the store's database.
_LOCK = 0x701_1647E


def migrate(engine: Engine) -> None:
    """Bring the store to the newest version, in one transaction. Two processes at once do it one after the other."""
    with transaction(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        upgrade(connection)


def upgrade(connection: Connection, revision: str = "head") -> None:
    config = Config()
    # Alembic reads a `%` as the beginning of a name to put in: the folder may be anybody's, as `100%`.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
