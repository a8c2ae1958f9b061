"""`tollgate account show`, `tollgate account ledger` and `tollgate top-up`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from gateway.commands.errors import CommandError
from gateway.commands.options import Account, Admin, Config, Json, Key, Month, desk
from gateway.commands.output import Column, print_json, print_table, say
from gateway.control.errors import Refusal
from gateway.control.filter import Filter

accounts = typer.Typer(no_args_is_help=True, help="Accounts: state and balances.")


def _amount(bucket: str) -> Callable[[dict[str, Any]], Any]:
    return lambda one: one["wallet"][bucket]


_COLUMNS = (
    Column("account", lambda one: one["id"]),
    Column("state", lambda one: one["state"]),
    Column("balance", lambda one: one["balance"], True),
    *(Column(bucket, _amount(bucket), True) for bucket in ("cash", "income", "gift", "held")),
    Column("currency", lambda one: one.get("currency")),
)


@accounts.command("show")
def show(
    context: typer.Context,
    account: str | None = typer.Argument(None, help="Id; all when left out."),
    json: Json = False,
    admin: Admin = None,
    config: Config = None,
) -> None:
    """State and balances of an account, or of all."""
    with desk(context, admin, config) as asked:
        found = asked.accounts(Filter()) if account is None else [asked.account(account)]
    if json:
        print_json(found if account is None else found[0])
    else:
        print_table(_COLUMNS, found)


_LEDGER_COLUMNS = (
    Column("transfer", lambda one: one["id"], True),
    Column("at (UTC)", lambda one: one["at"]),
    Column("for", lambda one: one["journal"]),
    Column("from", lambda one: one["debit"]),
    Column("to", lambda one: one["credit"]),
    Column("amount", lambda one: one["amount"], True),
)


@accounts.command("ledger")
def ledger(
    context: typer.Context,
    account: str = typer.Argument(help="Id."),
    month: Month = None,
    json: Json = False,
    admin: Admin = None,
    config: Config = None,
) -> None:
    """Every transfer of an account: money in and out of its wallets."""
    filter = Filter.parse({} if month is None else {"month": month})
    found: list[dict[str, Any]] = []
    after: str | None = "0"
    with desk(context, admin, config) as asked:
        while after is not None:
            page = asked.transfers(account, filter, int(after))
            found += page["items"]
            after = page["next"]
    if json:
        print_json(found)
    else:
        print_table(_LEDGER_COLUMNS, found)


def top_up(
    context: typer.Context,
    amount: str | None = typer.Argument(None, metavar="[AMOUNT]", help='Cash, e.g. "10.00".'),
    account: Account = None,
    cash: str | None = typer.Option(None, metavar="AMOUNT", help="Cash."),
    gift: str | None = typer.Option(None, metavar="AMOUNT", help="A gift: used first, no refund."),
    income: str | None = typer.Option(None, metavar="AMOUNT", help="Income transferred in."),
    key: Key = None,
    json: Json = False,
    admin: Admin = None,
    config: Config = None,
) -> None:
    """Put money into an account (the only one, when there is one)."""
    if amount is not None and cash is not None:
        raise typer.BadParameter("give the cash once")
    parts = {"cash": amount or cash, "gift": gift, "income": income}
    document = {bucket: text for bucket, text in parts.items() if text is not None}
    if not document:
        raise typer.BadParameter("an amount is needed")
    with desk(context, admin, config) as asked:
        if account is None:
            ids = [one["id"] for one in asked.accounts(Filter())]
            if len(ids) != 1:
                raise Refusal("not_found", f"which account? --account {' | '.join(ids)}")
            (account,) = ids
        done = asked.top_up(account, document, key)
        if json:
            print_json(done)
            return
        try:
            print_table(_COLUMNS, [asked.account(account)])
        except (CommandError, Refusal) as error:
            # The money is in: what cannot be shown does not undo it.
            say(f"the money is in; the balance cannot be shown: {error}")
