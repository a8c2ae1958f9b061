"""Options that many commands share, and what they find."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from gateway.admin.keys import KEY_CHARS_MAX, is_key
from gateway.commands.desk import Desk
from gateway.commands.finding import ADMIN_VARIABLE, Finder

Admin = Annotated[
    str | None,
    typer.Option("--admin", metavar="URL", help=f"Where the node's admin API is (default ${ADMIN_VARIABLE})."),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="The node's file: its address and token, or its store."),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, in a stable shape.")]
Account = Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account.")]
Month = Annotated[str | None, typer.Option("--month", metavar="YYYY-MM", help="Only this local month.")]


def _checked_key(key: str | None) -> str | None:
    if key is not None and not is_key(key):
        raise typer.BadParameter(f"1 to {KEY_CHARS_MAX} characters, none of them a control character")
    return key


Key = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key", metavar="KEY", help="The same key again moves no more money.", callback=_checked_key
    ),
]


def desk(context: typer.Context, admin: str | None, config: Path | None) -> AbstractContextManager[Desk]:
    """The desk that the options point at. The composition root left the finder in the context."""
    finder = context.find_root().obj
    assert isinstance(finder, Finder)
    return finder.desk(admin, config)
