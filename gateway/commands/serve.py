"""`tollgate serve`: the node itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from config.loading import load_settings
from gateway.bounded_log import bound_log
from gateway.control.control import Control
from gateway.control.ports import Wiring


def serve_command(wiring: Wiring) -> Callable[..., None]:
    """The command, over the billing that the composition root hands in."""

    def serve(
        config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The node's configuration.")],
        log_level: Annotated[str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")] = "info",
    ) -> None:
        """Run the node until SIGTERM or Ctrl-C. SIGHUP reads the file again."""
        level = logging.getLevelNamesMapping().get(log_level.upper())
        if level is None:
            raise typer.BadParameter(f"{log_level} is no log level", param_hint="--log-level")
        logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        bound = bound_log()
        # Its steps are of interest to who looks for a fault in them.
        logging.getLogger("alembic").setLevel(max(level, logging.WARNING) if level > logging.DEBUG else level)
        settings = load_settings(config)

        async def live() -> None:
            await Control(config, settings, wiring, announce=lambda text: typer.echo(text, err=True)).run()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(live())
        bound.tell()

    return serve
