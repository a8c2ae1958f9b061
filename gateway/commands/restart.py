"""`tollgate restart`: fresh workers, on a running node only."""

from __future__ import annotations

import typer

from gateway.commands.errors import NodeUnreachable
from gateway.commands.options import Admin, Config, Json, desk
from gateway.commands.output import print_json, say


def restart(context: typer.Context, json: Json = False, admin: Admin = None, config: Config = None) -> None:
    """Replace every worker by a fresh one, one at a time in each pool; no request and no connection is lost."""
    from gateway.commands.remote import RemoteDesk

    with desk(context, admin, config) as asked:
        if not isinstance(asked, RemoteDesk):
            raise NodeUnreachable("no node runs on this data_dir: there is nothing to restart")
        node = asked.restart()
    if json:
        print_json(node)
    else:
        workers = sum(len(slots) for slots in node["pools"].values())
        say(f"{workers} workers of {len(node['pools'])} pools are restarted")
