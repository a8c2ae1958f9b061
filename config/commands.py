"""`tollgate check FILE`."""

from pathlib import Path
from typing import Annotated

import typer

from config.errors import ConfigError
from config.loading import load_settings


def check(file: Annotated[Path, typer.Argument(help="A configuration file (YAML).")]) -> None:
    """Check a configuration: every mistake on a line of its own, with its path. Exits 0 or 1."""
    try:
        settings = load_settings(file)
    except ConfigError as error:
        for fault in error.faults:
            typer.echo(str(fault), err=True)
        raise typer.Exit(1) from None
    typer.echo(
        f"{file}: {len(settings.accounts)} accounts, {len(settings.instances)} instances, "
        f"{len(settings.services)} services: sound"
    )
