"""`tollgate check`, and how a command is told which file is meant."""

from pathlib import Path
from typing import Annotated, Final

import typer

from config.errors import ConfigError

DEFAULT_FILE: Final = Path("tollgate.yaml")

File = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help=f"The configuration (YAML); default: {DEFAULT_FILE}.", show_default=False),
]
FileOption = Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help="The same.")]


def chosen(file: Path | None, option: Path | None) -> Path:
    """The file that is meant. Raises BadParameter."""
    if file is not None and option is not None and file != option:
        raise typer.BadParameter(f"two files: {file} and {option}", param_hint="FILE")
    found = file or option or DEFAULT_FILE
    if found is DEFAULT_FILE and not found.exists():
        raise typer.BadParameter(f"none is given, and there is no {DEFAULT_FILE} here", param_hint="FILE")
    return found


def check(file: File = None, config: FileOption = None) -> None:
    """Check a configuration: every mistake on a line of its own, with its path. Exits 0 or 1."""
    # Here, as other commands that are told of a file ask a node, and need not read it.
    from config.loading import load_settings

    path = chosen(file, config)
    try:
        settings = load_settings(path)
    except ConfigError as error:
        for fault in error.faults:
            typer.echo(str(fault), err=True)
        raise typer.Exit(1) from None
    typer.echo(
        f"{path}: {len(settings.accounts)} accounts, {len(settings.instances)} instances, "
        f"{len(settings.services)} services: sound"
    )
