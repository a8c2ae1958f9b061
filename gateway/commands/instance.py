"""`tollgate instance buy|release|refund|renew|list`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.commands.options import Account, Admin, Config, Json, Key, desk
from gateway.commands.output import Column, print_json, print_table, say
from gateway.control.filter import Filter

instances = typer.Typer(no_args_is_help=True, help="Instances of the node.")

_COLUMNS = (
    Column("instance", lambda one: one["id"]),
    Column("account", lambda one: one["account"]),
    Column("type", lambda one: one["type"]),
    Column("spec", lambda one: one["spec"]),
    Column("region", lambda one: one["region"]),
    Column("qps", lambda one: one["limits"]["instance"], True),
    Column("services", lambda one: f"{one['services']} / {one['services_max']}", True),
    Column("serving", lambda one: "yes" if one["serving"] else "no"),
)


@instances.command("list")
def show(
    context: typer.Context, account: Account = None, json: Json = False, admin: Admin = None, config: Config = None
) -> None:
    """Every instance: its limits, and whether it may serve."""
    with desk(context, admin, config) as asked:
        found = asked.instances(Filter(account=account))
    if json:
        print_json(found)
    else:
        print_table(_COLUMNS, found)


Id = Annotated[str, typer.Argument(help="Id.", show_default=False)]


@instances.command("buy")
def buy(
    context: typer.Context,
    id: Id,
    account: Annotated[str, typer.Option("--account", metavar="ID", help="Who pays.")],
    spec: Annotated[str, typer.Option(metavar="SPEC", help="From the catalog, as dedicated-2500.")],
    region: Annotated[str, typer.Option(metavar="REGION", help="Where.")],
    months: Annotated[int | None, typer.Option(help="Prepaid for so many; else paid by the second.")] = None,
    price: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="A month or a second; default: the price book's.")
    ] = None,
    entry: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESS:PORT", help="Where it serves; may be given several times.")
    ] = None,
    network: Annotated[str, typer.Option(help="Of its entries: internet or vpc.")] = "internet",
    key: Key = None,
    json: Json = False,
    admin: Admin = None,
    config: Config = None,
) -> None:
    """Buy a dedicated instance. It serves on its entries; without one, once the node's file has it by the same id."""
    charge: Any = "payg" if months is None else {"prepaid_months": months}
    document = {"account": account, "id": id, "spec": spec, "region": region, "charge": charge}
    if price is not None:
        document["price"] = price
    if entry:
        document["entry"] = [{"bind": bind, "network": network} for bind in entry]
    with desk(context, admin, config) as asked:
        done = asked.buy_instance(document, key)
    _say(done, json, f"{id} is bought" + ("" if done["serving"] else f"; it serves once the node's file has {id}"))


@instances.command("release")
def release(
    context: typer.Context, id: Id, key: Key = None, json: Json = False, admin: Admin = None, config: Config = None
) -> None:
    """Release an instance that is paid by the second; what was held returns."""
    with desk(context, admin, config) as asked:
        done = asked.release_instance(id, key)
    _say(done, json, f"{id} is released")


@instances.command("refund")
def refund(
    context: typer.Context, id: Id, key: Key = None, json: Json = False, admin: Admin = None, config: Config = None
) -> None:
    """Give a prepaid instance back; it is isolated at once."""
    with desk(context, admin, config) as asked:
        done = asked.refund_instance(id, key)
    _say(done, json, f"{id} is refunded")


@instances.command("renew")
def renew(
    context: typer.Context,
    id: Id,
    months: Annotated[int, typer.Option(help="So many more.", min=1)],
    key: Key = None,
    json: Json = False,
    admin: Admin = None,
    config: Config = None,
) -> None:
    """Prolong a prepaid instance from its expiry."""
    with desk(context, admin, config) as asked:
        done = asked.renew_instance(id, {"months": months}, key)
    _say(done, json, f"{id} is renewed")


def _say(done: dict[str, Any], as_json: bool, text: str) -> None:
    if as_json:
        print_json(done)
    else:
        say(text)
