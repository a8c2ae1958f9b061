"""`tollgate service add|remove|list`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import ConfigError, Fault
from gateway.commands.options import Account, Admin, Config, Json, desk
from gateway.commands.output import Column, print_json, print_table, say
from gateway.control.filter import Filter

services = typer.Typer(no_args_is_help=True, help="Services of the node.")

_COLUMNS = (
    Column("service", lambda one: one["id"]),
    Column("instance", lambda one: one["instance"]),
    Column("hosts", lambda one: ", ".join(one.get("hosts", ())) or "any"),
    Column("path", lambda one: one.get("path")),
    Column("protocol", lambda one: one.get("protocol")),
    Column("qps", lambda one: one.get("qps"), True),
    Column("targets", lambda one: ", ".join(target["url"] for target in one["upstream"]["targets"])),
    Column("from", lambda one: one["source"]),
    Column("not served", lambda one: one.get("not_served") or "-"),
)


@services.command("list")
def show(
    context: typer.Context,
    instance: str | None = typer.Option(None, metavar="ID", help="Only this instance."),
    account: Account = None,
    json: Json = False,
    admin: Admin = None,
    config: Config = None,
) -> None:
    """Every service, from the file and over the API."""
    with desk(context, admin, config) as asked:
        found = asked.services(Filter(account=account, instance=instance))
    if json:
        print_json(found)
    else:
        print_table(_COLUMNS, found)


@services.command("add")
def add(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One service, as YAML or JSON; - is stdin.")],
    json: Json = False,
    admin: Admin = None,
    config: Config = None,
) -> None:
    """Add a service; it stays until it is removed, over reloads and restarts."""
    document = _read(file)
    with desk(context, admin, config) as asked:
        added = asked.add_service(document)
    if json:
        print_json(added)
    else:
        print_table(_COLUMNS, [added])


@services.command("remove")
def remove(
    context: typer.Context,
    service: str = typer.Argument(..., help="Id."),
    admin: Admin = None,
    config: Config = None,
) -> None:
    """Remove a service that was added over the API."""
    with desk(context, admin, config) as asked:
        asked.remove_service(service)
    say(f"{service} is removed")


def _read(file: Path) -> dict[str, Any]:
    from config.documents import FILE_BYTES_MAX, parse_document, read_document, unclear_in

    if str(file) == "-":
        document = parse_document(sys.stdin.buffer.read(FILE_BYTES_MAX + 1), "-")
    else:
        document = read_document(file)
    if not isinstance(document, dict):
        raise ConfigError([Fault(str(file), "has to be one service")])
    faults = list(unclear_in(document))
    if faults:
        raise ConfigError(faults)
    return document
