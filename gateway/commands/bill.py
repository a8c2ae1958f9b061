"""`tollgate bill`: what was billed, hour by hour."""

from __future__ import annotations

import sys
from typing import Any

import typer

from gateway.commands.desk import Desk
from gateway.commands.options import Account, Admin, Config, Json, Month, desk
from gateway.commands.output import Column, bytes_text, print_csv, print_json, print_table
from gateway.control.errors import Refusal
from gateway.control.filter import Filter

Document = dict[str, Any]

# One line of CSV is one bill line (DESIGN 1.4).
_CSV_COLUMNS = (
    "account",
    "month",
    "hour",
    "instance",
    "region",
    "meter",
    "cover",
    "tier",
    "quantity",
    "unit_price",
    "per",
    "list",
    "amount",
    "pack",
    "late",
    "corrects_month",
    "currency",
    "id",
    "reason",
    "settled_at",
    "voucher",
    "gift",
    "income",
    "cash",
)


def _quantity(line: Document) -> str:
    if line["meter"].startswith("egress"):
        return bytes_text(line["quantity"])
    return f"{line['quantity']:,}"


def _unit_price(line: Document) -> str:
    per = {10_000: "10,000", 2**30: "GB", 1: "s"}.get(line["per"], line["per"])
    return f"{line['unit_price']} / {per}"


_TABLE_COLUMNS = (
    Column("line", lambda line: line["id"], True),
    Column("hour (UTC)", lambda line: line["hour"]),
    Column("instance", lambda line: line["instance"]),
    Column("region", lambda line: line["region"]),
    Column("meter", lambda line: line["meter"]),
    Column("covered by", lambda line: line["pack"] or line["cover"]),
    Column("tier", lambda line: line["tier"], True),
    Column("quantity", _quantity, True),
    Column("unit price", _unit_price, True),
    Column("amount", lambda line: line["amount"], True),
)


def bill(
    context: typer.Context,
    account: Account = None,
    month: Month = None,
    json: Json = False,
    as_csv: bool = typer.Option(False, "--csv", help="CSV on stdout, a bill line each."),
    as_focus: bool = typer.Option(False, "--focus", help="CSV on stdout, the rows of FOCUS 1.4; needs a month."),
    as_html: bool = typer.Option(False, "--html", help="The month's statement, a page that prints; needs a month."),
    admin: Admin = None,
    config: Config = None,
) -> None:
    """The bill: a line for each hour, instance, meter and what covered it."""
    if [json, as_csv, as_focus, as_html].count(True) > 1:
        raise typer.BadParameter("give one of --json, --csv, --focus and --html")
    if (as_focus or as_html) and month is None:
        raise typer.BadParameter("a month is needed, as --month 2026-01")
    filter = Filter.parse({k: v for k, v in (("account", account), ("month", month)) if v is not None})
    with desk(context, admin, config) as asked:
        if as_focus and month is not None:
            rows = asked.focus(month, Filter(account=account))
            names = list(rows[0]) if rows else []
            print_csv([(name, lambda row, name=name: row[name]) for name in names], rows)  # type: ignore[misc]
            return
        if as_html and month is not None:
            from gateway.statement.page import statement_page

            sys.stdout.write(statement_page(asked.statement(month, Filter(account=account))))
            return
        billed = asked.bills(filter)
        # Which line is which: `explain` asks for the number.
        numbers = [] if json else _numbers(asked, billed, account)
    if json:
        print_json(billed)
        return
    accounts: dict[str, Document] = {account: billed} if account is not None else billed["accounts"]
    if not accounts and not as_csv:
        raise Refusal("not_found", "there is no account")
    for document, lines in zip(accounts.values(), numbers, strict=True):
        for statement, numbered in zip(document["bills"].values(), lines, strict=True):
            statement["lines"] = numbered
    if as_csv:
        columns = [(name, lambda line, name=name: line.get(name)) for name in _CSV_COLUMNS]
        print_csv(columns, _lines(accounts))
        return
    for id, document in accounts.items():
        months = document["bills"] or {month or "": {"total": "0.00000000", "lines": []}}
        for billed_month, statement in sorted(months.items()):
            title = f"{id} {billed_month}  total {statement['total']}  ({document['state']})"
            print_table(_TABLE_COLUMNS, statement["lines"], title)


def _numbers(asked: Desk, billed: Document, account: str | None) -> list[list[list[Document]]]:
    """For each account and month in turn the lines with their numbers."""
    accounts = {account: billed} if account is not None else billed["accounts"]
    return [
        [asked.bill_lines(month, Filter(account=id)) for month in document["bills"]]
        for id, document in accounts.items()
    ]


def _lines(accounts: dict[str, Document]) -> list[Document]:
    return [
        {"account": id, "month": month, "currency": document["currency"], **line}
        for id, document in accounts.items()
        for month, statement in sorted(document["bills"].items())
        for line in statement["lines"]
    ]
