"""Whose the store is: one node at a time writes it. Two would release each other's instances, settle hours without each
other's counts, and notify twice.

One row says which node, by an id that its data_dir keeps and one of its process's; a heartbeat keeps it fresh. All
times are the database's. Every transaction of the owner begins with a look at the row, and holds it as it is until its
end: a node that lost the store, because it slept or was cut off, cannot commit any more.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Connection, Engine, Row, cast, event, extract, func, inspect, select
from sqlalchemy import update as update_of

from billing.errors import StoreLost, StoreTaken
from billing.tables import Int64, owner
from billing.upsert import ignore_rows
from metering.database import transaction

BEAT_INTERVAL_S: Final = 5
# Who says nothing for so long is dead, or cut off: twelve beats, and longer than SQLite lets anybody wait to write.
SILENT_S: Final = 60
# A process that sleeps in the middle of a transaction gives up what it holds: else nobody could take the store over.
_IDLE_MS: Final = 60_000

_the_row = owner.c.id == 1
_boot = select(owner.c.boot).where(_the_row)


class Ownership:
    """One process's hold of the store. ``lost_to``: who has it instead, once that was seen. On any thread."""

    beat_interval_s: Final = BEAT_INTERVAL_S

    def __init__(self, engine: Engine, boot: str) -> None:
        self.lost_to: str | None = None
        self._engine = engine
        self._boot = boot

    @property
    def is_lost(self) -> bool:
        return self.lost_to is not None

    def require(self) -> None:
        """Raises StoreLost."""
        with transaction(self._engine):
            pass  # To begin one is to look.

    def beat(self) -> None:
        """Raises StoreLost."""
        with transaction(self._engine) as connection:
            connection.execute(update_of(owner).where(_the_row).values(beat_at=_now(connection)))

    def release(self) -> None:
        """In order: whoever comes next need not wait. Raises StoreLost."""
        with transaction(self._engine) as connection:
            connection.execute(update_of(owner).where(_the_row).values(released_at=_now(connection)))

    def fence(self) -> None:
        """From here on every transaction of the engine looks first."""
        is_postgresql = self._engine.dialect.name == "postgresql"
        # Of a share: a heartbeat goes beside it, a take-over waits for it.
        look = _boot.with_for_update(key_share=True, read=True) if is_postgresql else _boot
        if is_postgresql:
            event.listen(self._engine, "connect", _give_up_when_idle)
            self._engine.dispose()

        @event.listens_for(self._engine, "begin")
        def began(connection: Connection) -> None:
            if connection.execute(look).scalar() != self._boot:
                row = _row(connection)
                self.lost_to = "nobody" if row is None else _who(row)
                raise StoreLost(f"the store is another's: {self.lost_to}")


def claim(
    engine: Engine,
    migrate: Callable[[Engine], None],
    *,
    node: str,
    data_id: str,
    boot: str,
    host: str,
    pid: int,
    take_over: bool = False,
) -> Ownership:
    """Take the store, brought up to date. Raises StoreTaken where another node is alive on it, with nothing changed.

    Free is what nobody has, what was released in order, what its owner was silent on for SILENT_S, and what the same
    data_dir had: its lock says that the process before is dead. ``take_over``: whoever has it.
    """
    if inspect(engine).has_table(owner.name):
        # Before the schema is changed under somebody's feet.
        with transaction(engine) as connection:
            _require_free(connection, data_id, take_over=take_over)
    migrate(engine)
    me = {"node": node, "data_id": data_id, "boot": boot, "host": host, "pid": pid}
    with transaction(engine) as connection:
        nobody = {"node": "", "data_id": "", "boot": "", "host": "", "pid": 0}
        ignore_rows(connection, owner, [{"id": 1, **nobody, "since": 0, "beat_at": 0, "released_at": 0}])
        if connection.dialect.name == "postgresql":
            # Waits for what the owner before is in the middle of.
            connection.execute(_boot.with_for_update())
        _require_free(connection, data_id, take_over=take_over)
        now = _now(connection)
        connection.execute(update_of(owner).where(_the_row).values(**me, since=now, beat_at=now, released_at=None))
    ownership = Ownership(engine, boot)
    ownership.fence()
    return ownership


def _require_free(connection: Connection, data_id: str, *, take_over: bool) -> None:
    row = _row(connection)
    if row is None or row.released_at is not None or row.data_id == data_id or take_over or row.silent_s >= SILENT_S:
        return
    raise StoreTaken(
        f"the store is another node's, which is alive: {_who(row)}, heard {max(0, row.silent_s)} s ago. Two nodes on "
        f"one store would bill and notify twice. Stop that one; if it is dead, wait until it was silent for {SILENT_S} "
        "s, or take the store over at once: tollgate serve --take-over"
    )


def _row(connection: Connection) -> Row[Any] | None:
    silent_s = (_now(connection) - owner.c.beat_at).label("silent_s")
    return connection.execute(select(owner, silent_s).where(_the_row)).first()


def _who(row: Row[Any]) -> str:
    since = datetime.fromtimestamp(row.since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"node {row.node} on {row.host} (pid {row.pid}), since {since}"


def _now(connection: Connection) -> ColumnElement[int]:
    """The database's clock, epoch seconds: not of the transaction's beginning."""
    if connection.dialect.name == "postgresql":
        return cast(func.floor(extract("epoch", func.clock_timestamp())), BigInteger)
    return cast(func.strftime("%s", "now"), Int64)


def _give_up_when_idle(connection: Any, _: Any) -> None:
    connection.autocommit = True  # Else it would hold for the first transaction alone.
    connection.execute(f"SET idle_in_transaction_session_timeout = {_IDLE_MS}")
    connection.autocommit = False
