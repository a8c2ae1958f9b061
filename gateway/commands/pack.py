"""`tollgate pack buy|list|refund`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from config.units import parse_size
from gateway.commands.options import Account, Admin, Config, Json, Key, desk
from gateway.commands.output import Column, bytes_text, print_json, print_table, say
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
        say(f"{pack} is refunded")


@packs.command("buy")
def buy(
    context: typer.Context,
    offer: Annotated[str | None, typer.Argument(help="An offer of the price book; else describe the pack.")] = None,
    account: Account = None,
    meter: Annotated[str | None, typer.Option(metavar="METER", help="calls or egress.")] = None,
    quantity: Annotated[str | None, typer.Option(metavar="N", help="Calls, or a size as 10GiB.")] = None,
    months: Annotated[int | None, typer.Option(help="Of 30 days each.")] = None,
    price: Annotated[str | None, typer.Option(metavar="AMOUNT", help="For the whole pack.")] = None,
    source: Annotated[str | None, typer.Option(metavar="SOURCE", help="purchase (default) or campaign.")] = None,
    key: Key = None,
    json: Json = False,
    admin: Admin = None,
    config: Config = None,
) -> None:
    """Buy a pack: an offer by its id, or a meter, quantity, months and price."""
    described = {"meter": meter, "quantity": units(quantity), "months": months, "price": price}
    document: Document = {name: value for name, value in {"offer": offer, **described}.items() if value is not None}
    if account is None or (offer is None and None in described.values()):
        raise typer.BadParameter("an account is needed, and an offer or a meter, quantity, months and price")
    document["account"] = account
    if source is not None:
        document["source"] = source
    with desk(context, admin, config) as asked:
        bought = asked.buy_pack(document, key)
    if json:
        print_json(bought)
    else:
        print_table(_COLUMNS, [bought])


def units(text: str | None) -> int | None:
    if text is None or text.isdecimal():
        return None if text is None else int(text)
    try:
        return parse_size(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--quantity") from None
