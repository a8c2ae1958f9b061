"""Usage as people ask for it: rows by hour, instance and service (DESIGN 1.6)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, select

from config.instants import instant_text
from metering.cells import BASES, NETWORKS, SIDES
from metering.clock import hour_start
from metering.local_months import local_months
from metering.sums import exact_sum
from metering.tables import counter

_SHOWN = frozenset(("calls", "websocket_connections", "ingress", "egress", "frontend_error", "backend_error"))


def usage_rows(
    engine: Engine,
    account: str | None = None,
    instance: str | None = None,
    service: str | None = None,
    month: str | None = None,
    tz: str = "Asia/Shanghai",
    from_hour: int | None = None,
    to_hour: int | None = None,
) -> list[dict[str, Any]]:
    """Rows in order of hour, instance, service. ``month``: `2026-11` in ``tz``; hours are half-open, since the epoch.

    Raises ValueError for a month that is none.
    """
    if month is not None:
        first, last = local_months(tz).month_hours(month)
        from_hour = first if from_hour is None else max(from_hour, first)
        to_hour = last if to_hour is None else min(to_hour, last)
    c = counter.c
    query = select(c.hour, c.account, c.instance, c.service, c.meter, exact_sum(c.value).label("value")).group_by(
        c.hour, c.account, c.instance, c.service, c.meter
    )
    for column, wanted in ((c.account, account), (c.instance, instance), (c.service, service)):
        if wanted is not None:
            query = query.where(column == wanted)
    if from_hour is not None:
        query = query.where(c.hour >= from_hour)
    if to_hour is not None:
        query = query.where(c.hour < to_hour)
    rows: dict[tuple[int, str, str, str], dict[str, Any]] = {}
    with engine.connect() as connection:
        for hour, of_account, of_instance, of_service, meter, value in connection.execute(query):
            if meter.partition(":")[0] not in _SHOWN:
                continue  # Histograms, and what billing writes beside (an instance's seconds).
            key = (hour, of_instance, of_service, of_account)
            row = rows.get(key)
            if row is None:
                row = rows[key] = _empty(hour, of_account, of_instance, of_service)
            _put(row, meter, value)
    return [_finished(rows[key]) for key in sorted(rows)]


def _empty(hour: int, account: str, instance: str, service: str) -> dict[str, Any]:
    return {
        "hour": instant_text(hour_start(hour)),
        "account": account,
        "instance": instance,
        "service": service,
        "calls": 0,
        "websocket_connections": 0,
        "frontend_errors": {},
        "backend_errors": {},
        "ingress": 0,
        "egress": {},
    }


def _put(row: dict[str, Any], meter: str, value: int) -> None:
    kind, _, rest = meter.partition(":")
    if kind in ("frontend_error", "backend_error"):
        row[f"{kind}s"][rest] = value
    elif kind == "egress":
        row["egress"][tuple(rest.split(":"))] = value
    else:
        row[kind] = value


def _finished(row: dict[str, Any]) -> dict[str, Any]:
    amounts = row["egress"]
    row["egress"] = [
        {"side": side, "network": network, "basis": basis, "bytes": amounts[side, network, basis]}
        for side in SIDES
        for network in NETWORKS
        for basis in BASES
        if (side, network, basis) in amounts
    ]
    return row
