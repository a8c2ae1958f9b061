"""The command line's part of billing: `simulate`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from config.errors import ConfigError
from config.texts import escaped, escaped_json

if TYPE_CHECKING:
    from billing.scenario import Scenario


def simulate(
    scenario: Annotated[Path, typer.Argument(help="A scenario in YAML.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="The output is JSON with or without it.")] = False,
) -> None:
    """Bill a scenario without a gateway: the same rating, ledger and deadlines on a virtual clock."""
    # Here, as no other command needs them.
    from billing.scenario import load_scenario
    from billing.simulation import run

    try:
        loaded = load_scenario(scenario)
        with _progress_to(loaded) as progress:
            document = run(loaded, progress=progress)
    except ConfigError as error:
        for fault in error.faults:
            typer.echo(escaped(str(fault)), err=True)
        raise typer.Exit(1) from None
    sys.stdout.write(dump(document) + "\n")


@contextmanager
def _progress_to(scenario: Scenario) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal's stderr, from the first instant of the scenario to its last; elsewhere nothing."""
    from rich.console import Console
    from rich.progress import Progress

    begins = min((account.activated_at for account in scenario.accounts), default=scenario.until)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("simulating", total=max(1, scenario.until - begins))
        yield lambda now: bar.update(task, completed=now - begins)


def dump(document: Any) -> str:
    """Indented JSON, keys in the order of the document."""
    return escaped_json(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
