"""The command line's part of billing: `simulate`, and `bill` on a store without a running node."""

import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from billing.scenario import load_scenario
from billing.service import Billing
from billing.simulation import run
from config.errors import ConfigError
from metering.database import open_engine


def simulate(
    scenario: Annotated[Path, typer.Argument(help="A scenario in YAML.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="The output is JSON with or without it.")] = False,
) -> None:
    """Bill a scenario without a gateway: the same rating, ledger and deadlines on a virtual clock."""
    try:
        document = run(load_scenario(scenario))
    except ConfigError as error:
        for fault in error.faults:
            typer.echo(str(fault), err=True)
        raise typer.Exit(1) from None
    sys.stdout.write(dump(document) + "\n")


def dump(document: Any) -> str:
    """Indented JSON, keys in the order of the document."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()


def stored_bills(
    url: str,
    price_book: str,
    timezone: str,
    account: str | None = None,
    month: str | None = None,
    now: float | None = None,
) -> dict[str, Any]:
    """`{account: document}` from a store that no node serves. Raises ConfigError and Refused."""
    from config.catalog import load_catalog
    from config.prices import load_price_book

    engine = open_engine(url)
    try:
        billing = Billing(engine, load_price_book(price_book), load_catalog(), timezone)
        ids = [account] if account is not None else [found["id"] for found in billing.accounts(now)]
        return {id: billing.bill(id, month, now) for id in ids}
    finally:
        engine.dispose()


def print_bills(documents: dict[str, Any], console: Console) -> None:
    """One table for each account and month; every line of it, and what it comes to."""
    for account, document in documents.items():
        if not document["bills"]:
            console.print(f"{account}: nothing billed")
        for month, bill in document["bills"].items():
            console.print(_bill_table(account, month, bill, document["currency"]))


def _bill_table(account: str, month: str, bill: dict[str, Any], currency: str) -> Table:
    table = Table(title=f"{account} · {month} · {bill['total']} {currency}", title_justify="left")
    for heading, justify in (
        ("hour (UTC)", "left"),
        ("instance", "left"),
        ("region", "left"),
        ("meter", "left"),
        ("cover", "left"),
        ("tier", "right"),
        ("quantity", "right"),
        ("unit price", "right"),
        ("amount", "right"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for line in bill["lines"]:
        table.add_row(
            line["hour"][:13].replace("T", " "),
            line["instance"],
            line["region"],
            line["meter"],
            line["pack"] or line["cover"],
            "" if line["tier"] is None else str(line["tier"]),
            f"{line['quantity']:,}",
            f"{line['unit_price']} / {line['per']:,}",
            line["amount"],
        )
    return table
