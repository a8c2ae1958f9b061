"""`tollgate limits`: every limit and quota of a running node, as it stands."""

from __future__ import annotations

from typing import Any

import typer

from gateway.commands.options import Account, Admin, Config, Json, desk
from gateway.commands.output import Column, print_json, print_table
from gateway.control.filter import Filter

Document = dict[str, Any]


def _setting(row: Document) -> str:
    if row["quota"] is not None:
        return f"{row['quota']['calls']:,} a {row['quota']['per']}"
    return f"{row['qps']:,}/s"


def _used(row: Document) -> int | None:
    return None if row["quota"] is None else row["quota"]["used"]


_COLUMNS = (
    Column("instance", lambda row: row["instance"]),
    Column("service", lambda row: row["service"]),
    Column("level", lambda row: row["level"]),
    Column("of", lambda row: row["route"] or row["key"]),
    Column("mode", lambda row: row["mode"]),
    Column("setting", _setting, True),
    Column("last second", lambda row: row["admitted_last_second"], True),
    Column("last minute", lambda row: row["admitted_last_minute"], True),
    Column("used", _used, True),
    Column("headroom", lambda row: row["headroom"], True),
)


def limits(
    context: typer.Context, account: Account = None, json: Json = False, admin: Admin = None, config: Config = None
) -> None:
    """Each limit and quota: its setting, what it admitted, and what it would admit at once now."""
    with desk(context, admin, config) as asked:
        rows = asked.limits(Filter.parse({} if account is None else {"account": account}))
    if json:
        print_json(rows)
    else:
        print_table(_COLUMNS, rows)
