"""`tollgate explain`, `whatif` and `reconcile`: what is behind a bill, and whether the store agrees with itself."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.commands.options import Admin, Config, Json, desk
from gateway.commands.output import Column, print_json, print_table, say
from gateway.commands.pack import units

Document = dict[str, Any]

_FINDING_COLUMNS = (Column("finding", lambda one: one["finding"]),)
_FACT_COLUMNS = (Column("what", lambda one: one["what"]), Column("is", lambda one: one["is"]))
_WHAT_IF_COLUMNS = (
    Column("account", lambda one: one["account"]),
    Column("month", lambda one: one["month"]),
    Column("as it was", lambda one: one["actual"], True),
    Column("what if", lambda one: one["what_if"], True),
    Column("difference", lambda one: one["difference"], True),
    Column("currency", lambda one: one["currency"]),
)


def explain(
    context: typer.Context,
    line: Annotated[int, typer.Argument(help="The number of a bill line (`tollgate bill` shows it).", min=1)],
    json: Json = False,
    admin: Admin = None,
    config: Config = None,
) -> None:
    """From a bill line to the hour, the tier slice, the pack and the counters behind it."""
    with desk(context, admin, config) as asked:
        found = asked.explain(line)
    if json:
        print_json(found)
    else:
        print_table(_FACT_COLUMNS, [{"what": what, "is": fact} for what, fact in _facts(found)])


def _facts(found: Document) -> list[tuple[str, Any]]:
    one = found["line"]
    facts = [
        ("account, bill", f"{one['account']}, {one['bill_month']}"),
        ("hour", f"{one['hour']}, revision {found['revision']}{', late' if one['late'] else ''}"),
        ("instance, meter", f"{one['instance']} in {one['region']}, {one['meter']}"),
        ("covered by", one["pack"] or one["cover"]),
        ("quantity", one["quantity"]),
        ("amount", f"{one['amount']} at {one['unit_price']} / {one['per']:,}"),
    ]
    facts += [(f"counted by {row['writer']}", f"{row['value']:,} {row['meter']} of {row['service']}")
              for row in found["counters"]]  # fmt: skip
    facts.append(("billed by other lines", found["billed_by_other_lines"]))
    if "price" in found:
        facts.append(("price since", found["price"]["from"]))
        facts += [
            (f"tier {number}", f"{price} {'' if up_to is None else f'up to {up_to:,}'}")
            for number, (up_to, price) in enumerate(found["price"]["tiers"], start=1)
        ]
    if "month" in found:
        month = found["month"]
        facts.append(("rounded total before", f"{month['amount_before']} for {month['quantity_before']:,}"))
        facts.append(("rounded total after", month["amount_after"]))
    if "pack" in found:
        pack = found["pack"]
        facts.append(("pack", f"{pack['used']:,} of {pack['total']:,} used, valid to {pack['valid_to']}"))
    return facts


def what_if(
    context: typer.Context,
    account: Annotated[str, typer.Option("--account", metavar="ID", help="Whose usage.")],
    month: Annotated[str, typer.Option("--month", metavar="YYYY-MM", help="Of which local month.")],
    price_book: Annotated[str | None, typer.Option("--price-book", metavar="BOOK", help="usd or cny.")] = None,
    spec: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Shared instances are dedicated ones, by the second.")
    ] = None,
    meter: Annotated[str | None, typer.Option(metavar="METER", help="Another pack: calls or egress,")] = None,
    quantity: Annotated[str | None, typer.Option(metavar="N", help="so many calls, or a size as 10GiB,")] = None,
    months: Annotated[int | None, typer.Option(help="for so many months,")] = None,
    price: Annotated[str | None, typer.Option(metavar="AMOUNT", help="at this price.")] = None,
    json: Json = False,
    admin: Admin = None,
    config: Config = None,
) -> None:
    """What the recorded usage would have cost under another price book, pack or kind of instance."""
    pack = {"meter": meter, "quantity": units(quantity), "months": months, "price": price}
    if None in pack.values() and set(pack.values()) != {None}:
        raise typer.BadParameter("a pack has a meter, quantity, months and a price")
    wishes: Document = {"price_book": price_book, "spec": spec, "pack": None if meter is None else pack}
    document = {"month": month, **{name: wish for name, wish in wishes.items() if wish is not None}}
    with desk(context, admin, config) as asked:
        found = asked.what_if(account, document)
    if json:
        print_json(found)
    else:
        print_table(_WHAT_IF_COLUMNS, [found])


def reconcile(
    context: typer.Context,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mark hours that are not billed: they are settled next.")
    ] = False,
    json: Json = False,
    admin: Admin = None,
    config: Config = None,
) -> None:
    """Sum up counters, lines, wallets, packs and transfers; exits with 1 where they contradict each other."""
    with desk(context, admin, config) as asked:
        found = asked.reconcile(repair=repair)
    if json:
        print_json(found)
    elif found:
        print_table(_FINDING_COLUMNS, found)
    else:
        say("the store agrees with itself")
    if found:
        raise typer.Exit(1)
