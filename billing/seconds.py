"""Seconds that instances ran, kept as counters like everything else that is metered (RULES C.4)."""

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import Connection

from billing.charging import INSTANCE_SECONDS
from billing.instances import Instance
from billing.upsert import add_rows, replace_rows
from metering.tables import counter, dirty

WRITER = "clock"
NO_SERVICE = "-"
Seconds = Iterable[tuple[Instance, int, int]]  # instance, hour, seconds


def write_seconds(connection: Connection, seconds: Seconds) -> None:
    """Add them to the counters, in the transaction that moves `clocked_to` on."""
    units: defaultdict[tuple[str, str, str, int], int] = defaultdict(int)
    for instance, hour, number in seconds:
        units[instance.account, instance.id, instance.region, hour] += number
    common = {"writer": WRITER, "service": NO_SERVICE, "meter": INSTANCE_SECONDS}
    rows = [
        {**common, "account": account, "instance": instance, "region": region, "hour": hour, "value": value}
        for (account, instance, region, hour), value in units.items()
    ]
    add_rows(connection, counter, ("value",), rows)


def hours_of(seconds: Seconds) -> set[tuple[str, int]]:
    """(account, hour) in which there are any."""
    return {(instance.account, hour) for instance, hour, _ in seconds}


def mark_hours(connection: Connection, hours: Iterable[tuple[str, int]]) -> None:
    """To be settled. Not "do nothing": on PostgreSQL the mark has to be locked even if it is there already (C.5)."""
    marks = [{"account": account, "hour": hour} for account, hour in sorted(hours)]
    replace_rows(connection, dirty, ("hour",), marks)
