"""`tollgate usage`: what was metered, by hour, instance and service."""

from __future__ import annotations

from typing import Any

import typer

from gateway.commands.options import Account, Admin, Config, Json, Month, desk
from gateway.commands.output import Column, bytes_text, print_json, print_table
from gateway.control.filter import Filter

Document = dict[str, Any]


def _egress(side: str, heading: str) -> Column:
    def show(row: Document) -> str:
        sent = [item for item in row["egress"] if item["side"] == side and item["basis"] == "application"]
        return bytes_text(sum(item["bytes"] for item in sent))

    return Column(heading, show, True)


_COLUMNS = (
    Column("hour (UTC)", lambda row: row["hour"]),
    Column("account", lambda row: row["account"]),
    Column("instance", lambda row: row["instance"]),
    Column("service", lambda row: row["service"]),
    Column("calls", lambda row: row["calls"], True),
    Column("websockets", lambda row: row["websocket_connections"], True),
    Column("front-end errors", lambda row: sum(row["frontend_errors"].values()), True),
    Column("backend errors", lambda row: sum(row["backend_errors"].values()), True),
    Column("ingress", lambda row: bytes_text(row["ingress"]), True),
    _egress("client", "to client"),
    _egress("backend", "to backend"),
    _egress("refused", "refused"),
)


def usage(
    context: typer.Context,
    account: Account = None,
    month: Month = None,
    json: Json = False,
    admin: Admin = None,
    config: Config = None,
) -> None:
    """What was metered: calls, errors, bytes by hour."""
    with desk(context, admin, config) as asked:
        rows = asked.usage(Filter.parse(_fields(account=account, month=month)))
    if json:
        print_json(rows)
    else:
        print_table(_COLUMNS, rows)


def _fields(**fields: str | None) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}
