"""`tollgate loadtest compare`: origins, a node, Locust, pictures, audit; everything on loopback, bounded in time."""

from __future__ import annotations

import importlib.util
import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from loadtest.compare.plan import NAMES, Run, plan

if TYPE_CHECKING:
    # The command line has this group whichever command it is about.
    from rich.console import Console
    from rich.table import Table

    from loadtest.compare.audit import Check
    from loadtest.compare.recording import Recorder

OUT: Final = Path("loadtest/out/compare")
_NEEDED: Final = ("locust", "matplotlib", "websocket")
_SECONDS_MIN, _SECONDS_MAX = 3.0, 300.0

app = typer.Typer(help="Load tests with Locust.", no_args_is_help=True)


@app.callback()
def loadtest() -> None:
    """Load tests with Locust."""


@app.command()
def compare(
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where report and pictures go.")] = OUT,
    only: Annotated[str, typer.Option("--only", help=f"Runs, with commas between: {', '.join(NAMES)}.")] = "",
    seconds: Annotated[float, typer.Option("--seconds", help="Length of each run; 0: as planned, 12 to 18.")] = 0,
    share: Annotated[float, typer.Option("--share", help="Of the planned rates, for small machines.")] = 1.0,
) -> None:
    """A shared and a dedicated instance under the same kinds of load, side by side: an HTML report with pictures."""
    names = only.split(",") if only else list(NAMES)
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: not among {', '.join(NAMES)}", param_hint="--only")
    if seconds and not _SECONDS_MIN <= seconds <= _SECONDS_MAX:
        raise typer.BadParameter(f"{_SECONDS_MIN:g} to {_SECONDS_MAX:g}", param_hint="--seconds")
    if not 0 < share <= 1:
        raise typer.BadParameter("above 0, up to 1", param_hint="--share")
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        typer.echo(f"tollgate: {', '.join(missing)} not installed: pip install 'tollgate[loadtest]'", err=True)
        raise typer.Exit(1)
    raise typer.Exit(run(out, plan(names, seconds or None, share)))


@app.command()
def node() -> None:
    """Origins and the same node for a Locust of your own, with its web UI, until Ctrl-C."""
    from loadtest.compare.node import Node
    from loadtest.compare.plan import DEDICATED, SHARED
    from loadtest.processes import Processes, StartFailed, stop_in_order

    stop_in_order()
    with tempfile.TemporaryDirectory(prefix="tollgate-compare-") as folder, Processes(Path(folder)) as processes:
        try:
            running = Node(processes, Path(folder))
        except StartFailed as error:
            typer.echo(f"tollgate: {error}", err=True)
            raise typer.Exit(1) from None
        typer.echo(
            f"locust -f loadtest/locustfile.py --web-host 127.0.0.1 --class-picker --shared-url {running.url(SHARED)} "
            f"--dedicated-url {running.url(DEDICATED)}\n{running.console}\nCtrl-C ends it."
        )
        try:
            running.wait()
        except KeyboardInterrupt:
            pass


def run(out: Path, runs: list[Run]) -> int:
    """0, or 1 where something does not add up or could not be run."""
    from rich.console import Console

    from loadtest.compare.load import LoadFailed
    from loadtest.compare.node import NotInTime
    from loadtest.processes import StartFailed, stop_in_order

    stop_in_order()
    console, begun = Console(), time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    try:
        checks, written = _compare(console, out, runs)
    except KeyboardInterrupt:
        console.print("Stopped; there is no report.")
        return 1
    except (LoadFailed, NotInTime, StartFailed) as error:
        console.print(f"[red]The comparison failed:[/red] {error}", highlight=False)
        return 1
    console.print(audit_table(checks))
    console.print(f"{time.monotonic() - begun:.0f} s; the report is {written}", highlight=False, soft_wrap=True)
    return 0 if all(check.is_equal for check in checks) else 1


def _compare(console: Console, out: Path, runs: list[Run]) -> tuple[list[Check], Path]:
    # Here, because Locust and matplotlib come with an extra.
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from loadtest.compare import plots, report
    from loadtest.compare.audit import audit
    from loadtest.compare.load import drive
    from loadtest.compare.node import Node
    from loadtest.compare.recording import Recorder
    from loadtest.compare.series import total
    from loadtest.processes import Processes

    done: list[tuple[Run, dict[str, Recorder], Path]] = []
    seen: dict[str, Recorder] = {}
    bars = (SpinnerColumn(), TextColumn("{task.description:<54}"), BarColumn(), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix="tollgate-compare-") as temporary,
        Progress(*bars, console=console) as progress,
        Processes(Path(temporary)) as processes,
    ):
        folder = Path(temporary)
        step = progress.add_task("starting origins and the node", total=None)
        node = Node(processes, folder)
        progress.update(step, total=1, completed=1)
        for one in runs:
            row = progress.add_task(one.title, total=one.seconds)
            start_s, records = drive(
                processes,
                folder,
                node,
                one,
                lambda passed, row=row: progress.update(row, completed=passed),  # type: ignore[misc]
            )
            for instance, record in records.items():
                seen.setdefault(instance, Recorder()).add_all(record)
            picture = out / f"{one.name}.png"
            plots.draw(one, start_s, records, picture)
            done.append((one, records, picture))
        step = progress.add_task("the hours close and are settled", total=None)
        usage = node.usage_of(sum(total(record).sent for record in seen.values()))
        node.settle()
        lines = node.bill_lines()
        progress.update(step, total=1, completed=1)
    checks = audit(seen, usage, lines)
    plots.draw_audit(checks, out / "audit.png")
    footer = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; the load, both origins and the node shared this machine."
    page = out / "report.html"
    page.write_text(report.render(done, checks, out / "audit.png", lines, footer))
    (out / "figures.json").write_text(json.dumps(_figures(done, checks), indent=1) + "\n")
    return checks, page


def _figures(done: list[tuple[Run, dict[str, Recorder], Path]], checks: list[Check]) -> dict[str, Any]:
    from loadtest.compare.report import rows

    return {
        "runs": {run.name: rows(run, seen) for run, seen, _ in done},
        "audit": [vars(check) for check in checks],
    }


def audit_table(checks: list[Check]) -> Table:
    from rich.table import Table

    table = Table(title="Does it add up?", title_justify="left")
    for column in ("", "outside", "tollgate", ""):
        table.add_column(column, justify="right" if column else "left")
    for check in checks:
        verdict = "[green]yes[/green]" if check.is_equal else "[red]NO[/red]"
        table.add_row(check.text, check.outside, check.inside, f"{verdict} {check.note}")
    return table
