"""`tollgate pack buy|list|refund`."""

from __future__ import annotations

from typing import Any

import typer

from gateway.commands.options import Account, Admin, Config, Json, Key, desk
from gateway.commands.output import Column, bytes_text, print_json, print_table
from gateway.control.filter import Filter

packs = typer.Typer(no_args_is_help=True, help="Resource packs.")
Document = dict[str, Any]


def _quantity(field: str) -> Column:
    def show(pack: Document) -> str:
        return f"{pack[field]:,}" if pack["meter"] == "calls" else bytes_text(pack[field])

    return Column(field, show, True)


_COLUMNS = (
    Column("pack", lambda pack: pack["id"]),
    Column("account", lambda pack: pack.get("account")),
    Column("meter", lambda pack: pack["meter"]),
    Column("source", lambda pack: pack["source"]),
    _quantity("used"),
    _quantity("total"),
    Column("valid from", lambda pack: pack["valid_from"]),
    Column("valid to", lambda pack: pack["valid_to"]),
    Column("state", lambda pack: pack["state"]),
)


@packs.command("list")
def show(
    context: typer.Context, account: Account = None, json: Json = False, admin: Admin = None, config: Config = None
) -> None:
    """Every pack: free, bought, from campaigns; what is left of it."""
    with desk(context, admin, config) as asked:
        found = asked.packs(Filter(account=account))
    if json:
        print_json(found)
    else:
        print_table(_COLUMNS, found)


@packs.command("refund")
def refund(
    context: typer.Context,
    pack: str = typer.Argument(..., help="Id."),
    key: Key = None,
    json: Json = False,
    admin: Admin = None,
    config: Config = None,
) -> None:
    """Give an unused pack back; what was paid for it returns to the wallet."""
    with desk(context, admin, config) as asked:
        done = asked.refund_pack(pack, key)
    if json:
        print_json(done)
    else:
        typer.echo(f"{pack} is refunded", err=True)
