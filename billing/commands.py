"""The command line's part of billing: `simulate`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from config.errors import ConfigError
from config.texts import escaped, escaped_json


def simulate(
    scenario: Annotated[Path, typer.Argument(help="A scenario in YAML.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="The output is JSON with or without it.")] = False,
) -> None:
    """Bill a scenario without a gateway: the same rating, ledger and deadlines on a virtual clock."""
    # Here, as no other command needs them.
    from billing.scenario import load_scenario
    from billing.simulation import run

    try:
        document = run(load_scenario(scenario))
    except ConfigError as error:
        for fault in error.faults:
            typer.echo(escaped(str(fault)), err=True)
        raise typer.Exit(1) from None
    sys.stdout.write(dump(document) + "\n")


def dump(document: Any) -> str:
    """Indented JSON, keys in the order of the document."""
    return escaped_json(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
