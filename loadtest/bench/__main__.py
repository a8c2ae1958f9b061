"""`make bench` (`python -m loadtest.bench`). Exits 0, 1 where something that should be measured was not, 2 on usage."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from loadtest.bench import machine, node, origin, path, peers, plot, report, runner
from loadtest.bench.runner import Row
from loadtest.bench.scenarios import QUICK, SCENARIOS, Scenario
from loadtest.bench.stage import Plan, Stage
from loadtest.processes import Processes, StartFailed, free_ports, stop_in_order

OUT: Final = Path("loadtest/out")
OURS: Final = "tollgate"
PATH: Final = "path"
COLUMNS: Final = 120  # of a log or a pipe, where no terminal says how wide it is
ROUNDS, SECONDS = 3, 3.0
PATH_ROUNDS, PATH_REPEATS = 5, 8


class Bench:
    """One run: what takes part, and what came of it."""

    def __init__(self, ask: argparse.Namespace, folder: Path, console: Console, progress: Progress) -> None:
        self._ask, self._folder, self._console, self._progress = ask, folder, console, progress
        self._rounds = 1 if ask.quick else ask.rounds
        self._seconds = 1.0 if ask.quick else ask.seconds
        self._load_pids: list[int] = []
        self.document: dict[str, Any] = {
            "machine": machine.describe(),
            "rounds": self._rounds,
            "seconds": self._seconds,
            "scenarios": [],
            "left_out": [],
        }

    def run(self) -> None:
        builds = self._builds()
        if PATH in self._ask.scenario:
            self._measure_path(builds)
        chosen = [SCENARIOS[name] for name in self._ask.scenario if name != PATH]
        if not chosen:
            return
        missing = [name for name in ("nginx", "wrk", "openssl", "taskset") if shutil.which(name) is None]
        if missing:
            self._leave_out(f"every scenario: it needs {', '.join(missing)} (Debian: nginx wrk openssl util-linux)")
            return
        with Processes(self._folder) as processes:
            port = free_ports(1)[0]
            peers.make_certificate(self._folder)
            self._load_pids.append(origin.start(processes, self._folder, port))
            stage = Stage(
                processes,
                self._folder,
                port,
                builds=builds,
                peer_names=[name for name in peers.NAMES if name in self._ask.only],
                seconds=self._seconds,
                step=self._step,
            )
            for scenario in chosen:
                self._measure(scenario, stage)
                self.document["left_out"] += stage.left_out
                stage.left_out.clear()

    def _builds(self) -> list[str]:
        if OURS not in self._ask.only:
            return []
        fault = node.build()
        if fault is None:
            return list(node.BUILDS)
        self._leave_out(f"the compiled build: {fault}")
        return ["plain"]

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        row = self._progress.add_task(title, total=None)
        yield
        self._progress.update(row, total=1, completed=1)

    def _measure(self, scenario: Scenario, stage: Stage) -> None:
        found: dict[str, Any] = {"name": scenario.name, "title": scenario.title, "figure": scenario.figure, "rows": []}
        try:
            plan = scenario.plan(stage)
            if not plan.runs:
                return
            rows = self._rows(scenario, plan)
            found["rows"] += [row.document() for row in rows]
            found["facts"] = plan.facts(rows)
        except (OSError, HTTPException) as error:
            found["rows"].append({"target": scenario.name, "error": str(error) or type(error).__name__})
        self.document["scenarios"].append(found)

    def _rows(self, scenario: Scenario, plan: Plan) -> list[Row]:
        rounds = max(self._rounds, plan.rounds_min)
        row = self._progress.add_task(scenario.title, total=len(plan.runs) * (rounds + 1))

        def advance(target: str) -> None:
            self._progress.update(row, advance=1, description=f"{scenario.title}: {target}")

        rows = runner.measure(
            plan.runs, rounds, self._seconds, self._folder, load_pids=self._load_pids, advance=advance
        )
        self._progress.update(row, description=scenario.title)
        return rows

    def _measure_path(self, builds: Sequence[str]) -> None:
        rounds = 2 if self._ask.quick else PATH_ROUNDS
        row = self._progress.add_task("the request path alone", total=rounds * len(builds))
        self.document["path"] = path.measure(
            builds, rounds, PATH_REPEATS, advance=lambda: self._progress.update(row, advance=1)
        )

    def _leave_out(self, line: str) -> None:
        self.document["left_out"].append(line)


def main(arguments: Sequence[str] | None = None) -> int:
    ask = _arguments(arguments)
    console = Console()
    if not console.is_terminal:
        console = Console(width=COLUMNS)
    begun = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder,
        Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<52}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        ) as progress,
    ):
        bench = Bench(ask, Path(folder), console, progress)
        stop_in_order()
        try:
            bench.run()
        except KeyboardInterrupt:
            # What was measured until then is worth as much as before; an unfinished scenario is left out.
            bench.document["left_out"].append("what came after the interruption")
        except (StartFailed, RuntimeError, OSError) as error:
            console.print(f"[red]The benchmark failed:[/red] {error}", highlight=False)
            return 1
    document = bench.document
    report.show(document, console)
    json_path = ask.json or OUT / "bench.json"
    report.write(document, json_path)
    written = [json_path, *plot.draw(document, json_path.with_suffix(".png"))]
    console.print(f"{time.monotonic() - begun:.0f} s; written: {', '.join(map(str, written))}", highlight=False)
    errors = [row for scenario in document["scenarios"] for row in scenario["rows"] if "error" in row]
    return 1 if errors or not (document["scenarios"] or document.get("path")) else 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    ask = argparse.ArgumentParser("make bench", description=__doc__)
    ask.add_argument("--quick", action="store_true", help="two minutes: one short round of a few scenarios")
    ask.add_argument("--only", type=_names((OURS, *peers.NAMES)), help="targets, with commas between")
    ask.add_argument("--scenario", type=_names((PATH, *SCENARIOS)), help="scenarios, with commas between")
    ask.add_argument("--rounds", type=int, default=ROUNDS, choices=range(1, 31), metavar="N", help="rounds, 1 to 30")
    ask.add_argument("--seconds", type=float, default=SECONDS, help="seconds of a run")
    ask.add_argument("--json", type=Path, help="where the figures go; the picture goes beside them")
    chosen = ask.parse_args(arguments)
    if not 1 <= chosen.seconds <= 60:
        ask.error("--seconds: 1 to 60")
    if chosen.only is None:
        chosen.only = [OURS, *peers.NAMES]
    if chosen.scenario is None:
        chosen.scenario = [PATH, *(QUICK if chosen.quick else SCENARIOS)]
    return chosen


def _names(known: Sequence[str]) -> Any:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(known)}")
        return names

    return parse


if __name__ == "__main__":
    sys.exit(main())
