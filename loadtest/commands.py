"""`tollgate demo`."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the node running, to look at its console.")] = False,
) -> None:
    """Real traffic through a shared and a dedicated instance, past their limits, to a bill that adds up."""
    # Here, as the other commands need none of it.
    from loadtest.demo import run

    raise typer.Exit(run(keep))
