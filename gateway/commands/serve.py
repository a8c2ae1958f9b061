"""`tollgate serve`: the node itself."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from config.commands import File, FileOption, chosen
from config.texts import escaped
from gateway.bounded_log import bound_log
from gateway.control.ports import Wiring

_LOOP_THREADS: Final = "64"


class PlainLines(logging.Formatter):
    """What came from outside and is in a message, or in an error's text, does not act on a terminal. A message is a
    line."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = escaped(record.message)
        return super().formatMessage(record)

    def formatException(self, exc_info: Any) -> str:
        return escaped(super().formatException(exc_info), in_lines=True)


def _announce(text: str) -> None:
    with contextlib.suppress(OSError):  # Nobody reads it: the node serves all the same.
        typer.echo(text, err=True)


def serve_command(wiring: Wiring) -> Callable[..., None]:
    """The command, over the billing that the composition root hands in."""

    def serve(
        file: File = None,
        config: FileOption = None,
        take_over: Annotated[
            bool,
            typer.Option(
                "--take-over", help="Take the store from another node, though it may be alive: it writes no more then."
            ),
        ] = False,
        allow_past: Annotated[
            bool,
            typer.Option("--allow-past", help="Start though the clock lies before what is billed: usage is late then."),
        ] = False,
        log_level: Annotated[str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")] = "info",
    ) -> None:
        """Run the node until SIGTERM or Ctrl-C. SIGHUP reads the file again."""
        path = chosen(file, config)
        level = logging.getLevelNamesMapping().get(log_level.upper())
        if level is None:
            raise typer.BadParameter(f"{log_level} is no log level", param_hint="--log-level")
        lines = logging.StreamHandler()
        lines.setFormatter(PlainLines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.basicConfig(level=level, handlers=[lines])
        bound = bound_log()
        # Its steps are of interest to who looks for a fault in them.
        logging.getLogger("alembic").setLevel(max(level, logging.WARNING) if level > logging.DEBUG else level)
        # Here, as the other commands need none of it.
        import asyncio

        import uvloop

        from config.loading import load_settings
        from gateway.control.control import Control

        settings = load_settings(path)
        # Names of probes and receivers are looked up on the loop's threads, of which half may wait: of four, two names
        # whose servers do not answer would hold up all others. Not in os.environ: workers have their own number.
        os.putenv("UV_THREADPOOL_SIZE", os.environ.get("UV_THREADPOOL_SIZE", _LOOP_THREADS))

        async def live() -> None:
            await Control(path, settings, wiring, announce=_announce, take_over=take_over, allow_past=allow_past).run()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(live())
        bound.tell()

    return serve
