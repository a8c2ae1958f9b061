"""Seconds that instances ran, kept as counters like everything else that is metered (RULES C.4)."""

from collections.abc import Sequence

from sqlalchemy import Connection

from billing.charging import INSTANCE_SECONDS
from billing.instances import Instance
from billing.upsert import insert_or_add, insert_or_replace
from metering.tables import counter, dirty

WRITER = "clock"
NO_SERVICE = "-"


def write_seconds(connection: Connection, seconds: Sequence[tuple[Instance, int, int]]) -> None:
    """Add (instance, hour, seconds) to the counters, in the transaction that moves `clocked_to` on."""
    if not seconds:
        return
    connection.execute(
        insert_or_add(connection, counter, "value"),
        [
            {
                "writer": WRITER,
                "account": instance.account,
                "instance": instance.id,
                "region": instance.region,
                "service": NO_SERVICE,
                "meter": INSTANCE_SECONDS,
                "hour": hour,
                "value": units,
            }
            for instance, hour, units in seconds
        ],
    )
    marks = sorted({(instance.account, hour) for instance, hour, _ in seconds})
    # Not "do nothing": on PostgreSQL the mark has to be locked even if it is there already (C.5).
    connection.execute(
        insert_or_replace(connection, dirty, "hour"),
        [{"account": account, "hour": hour} for account, hour in marks],
    )
