"""The command line, put together; every error ends here as a line on stderr and an exit code (DESIGN 1.3)."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO, cast

import typer

from config.errors import ConfigError
from config.texts import escaped, is_storable
from gateway.commands.account import accounts, top_up
from gateway.commands.behind import explain, reconcile, what_if
from gateway.commands.bill import bill
from gateway.commands.errors import CommandError
from gateway.commands.finding import Finder
from gateway.commands.instance import instances
from gateway.commands.limits import limits
from gateway.commands.pack import packs
from gateway.commands.pipes import READER_GONE_STATUS, ReaderGone, Stdout, forget_stdout, open_streams
from gateway.commands.restart import restart
from gateway.commands.service import services
from gateway.commands.usage import usage
from gateway.control.errors import ControlError, Refusal

_REFUSED = 1
_USAGE = 2
# Set to see where an unforeseen error came from.
_DEBUG_VARIABLE = "TOLLGATE_DEBUG"


def make_app(finder: Finder, commands: Mapping[str, Callable[..., Any] | typer.Typer]) -> typer.Typer:
    """``commands``: those that the composition root adds (serve, check, simulate), groups of them too."""
    app = typer.Typer(
        name="tollgate",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        help="An API gateway whose data plane meters itself, and bills by the hour.",
    )

    @app.callback(invoke_without_command=True)
    def root(
        context: typer.Context, show_version: bool = typer.Option(False, "--version", help="Print the version.")
    ) -> None:
        context.obj = finder
        if show_version:
            from importlib.metadata import version

            typer.echo(version("tollgate"))
            raise typer.Exit

    for name, command in commands.items():
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    app.command()(usage)
    app.command()(bill)
    app.command()(explain)
    app.command("whatif")(what_if)
    app.command()(reconcile)
    app.command()(limits)
    app.command("top-up")(top_up)
    app.command()(restart)
    app.add_typer(accounts, name="account")
    app.add_typer(services, name="service")
    app.add_typer(packs, name="pack")
    app.add_typer(instances, name="instance")
    return app


def run(app: typer.Typer, arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 refused or found wrong, 2 usage. Never a traceback."""
    for word in sys.argv[1:] if arguments is None else arguments:
        if not is_storable(word):
            _refuse(f"an argument is no UTF-8: {word}")
            return _USAGE
    open_streams()
    stdout = sys.stdout
    sys.stdout = cast("TextIO", Stdout(stdout))
    try:
        code = _outcome(app, arguments)
        sys.stdout.flush()
    except ReaderGone:
        forget_stdout()
        return READER_GONE_STATUS
    except OSError as error:
        # A full disk, say.
        forget_stdout()
        return _refuse(f"stdout: {error.strerror or error}")
    finally:
        sys.stdout = stdout
    return code


def _outcome(app: typer.Typer, arguments: Sequence[str] | None) -> int:
    try:
        code = app(args=arguments, prog_name="tollgate", standalone_mode=True)
    except ReaderGone:
        raise
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except ConfigError as error:
        return _refuse(*map(str, error.faults))
    except Refusal as refusal:
        return _refuse(f"{refusal.code}: {refusal.detail}", *(f"  {fault}" for fault in refusal.faults))
    except (CommandError, ControlError) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error))
    except Exception as error:
        if _is_of_store(error):
            return _refuse(f"the store: {str(getattr(error, 'orig', None) or error).splitlines()[0]}")
        if os.environ.get(_DEBUG_VARIABLE):
            logging.getLogger(__name__).exception("an unforeseen error")
        return _refuse(f"an unforeseen error: {type(error).__name__}: {error} (set {_DEBUG_VARIABLE}=1 to see where)")
    return code or 0


def _is_of_store(error: Exception) -> bool:
    """Without an import of what most commands do not need: who raises it has imported it."""
    exceptions = sys.modules.get("sqlalchemy.exc")
    return exceptions is not None and isinstance(error, exceptions.SQLAlchemyError)


def _refuse(*lines: str) -> int:
    with contextlib.suppress(OSError):  # Nobody reads it.
        for line in lines:
            sys.stderr.write(f"tollgate: {escaped(line)}\n")
    return _REFUSED
