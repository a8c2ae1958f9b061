"""`tollgate instance list`."""

from __future__ import annotations

import typer

from gateway.commands.options import Account, Admin, Config, Json, desk
from gateway.commands.output import Column, print_json, print_table
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
