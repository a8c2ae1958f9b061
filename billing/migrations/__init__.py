"""Schema versions of the store: billing's tables and metering's. Needs no ini file; runs at open."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine

from metering.database import transaction


def migrate(engine: Engine) -> None:
    """Bring the store to the newest version, in one transaction."""
    with transaction(engine) as connection:
        upgrade(connection)


def upgrade(connection: Connection, revision: str = "head") -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
