"""A victim beside attacks on a node that both share: ``python -m loadtest.abuse``.

One worker serves a calm client and, in turn, attackers of every kind. Beside each of them no request of the calm one
may fail or take 50 ms, its p99 may be three times what it is alone, no process of the node may die, nobody pays for
what was not asked. Exit code 1 where that does not hold. What breaks a bound only because someone waited for a CPU is
in `doubt`, and no failure: on a machine that others use, too, `--patient 4` is of help.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from loadtest.abuse.attacks import ATTACKS
from loadtest.abuse.judge import Outcome, Verdict, document, judge
from loadtest.abuse.report import COLUMNS, print_table
from loadtest.abuse.run import run
from loadtest.processes import stop_in_order

Results = dict[str, tuple[Outcome, Verdict]]
SECONDS: Final = 4.0
DESCRIPTION_COLUMNS: Final = 46  # of 80, beside the bar and the time


def _parsed() -> argparse.Namespace:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--only", action="append", metavar="NAME", help="one, or all that begin so; may stand again")
    ask.add_argument("--seconds", type=float, default=SECONDS, help="of the victim alone, and beside each attack")
    ask.add_argument("--patient", type=float, default=1.0, metavar="FACTOR", help="on the bounds of times")
    ask.add_argument("--json", type=Path, metavar="FILE", help="figures, too")
    ask.add_argument("--list", action="store_true", help="names the attacks, and ends")
    given = ask.parse_args()
    given.names = list(ATTACKS) if given.only is None else [name for only in given.only for name in named(only)]
    if not given.names:
        ask.error(f"no attack is named {', '.join(given.only)}; --list names them")
    return given


def named(only: str) -> list[str]:
    return [only] if only in ATTACKS else [name for name in ATTACKS if name.startswith(only)]


def _measure(given: argparse.Namespace, console: Console, results: Results) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(16), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=len(given.names))
        for name in given.names:
            report = partial(_show, progress, bar, name)
            outcome = run(ATTACKS[name], given.seconds, report)
            verdict = judge(ATTACKS[name], outcome, given.patient)
            results[name] = outcome, verdict
            progress.advance(bar)
            if not console.is_terminal:
                print(f"{verdict.word:<6} {name}", flush=True)


def _show(progress: Progress, bar: TaskID, name: str, text: str) -> None:
    progress.update(bar, description=f"{name}: {text}"[:DESCRIPTION_COLUMNS])


def _machine() -> dict[str, Any]:
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpus": os.cpu_count(),
        "load_before": os.getloadavg(),
        "python": platform.python_version(),
    }


def main() -> int:
    given = _parsed()
    console = Console()
    if not console.is_terminal:
        console.width = COLUMNS
    if given.list:
        for name, attack in ATTACKS.items():
            console.print(f"{name:<22} {attack.what}", highlight=False)
        return 0
    stop_in_order()
    machine = _machine()
    results: Results = {}
    try:
        _measure(given, console, results)
    finally:  # What was measured until a fault, or Ctrl-C, is told all the same.
        print_table(console, results)
        if given.json is not None:
            attacks = {name: document(outcome, verdict) for name, (outcome, verdict) in results.items()}
            made = {"machine": machine, "seconds": given.seconds, "patient": given.patient, "attacks": attacks}
            given.json.write_text(json.dumps(made, indent=1) + "\n")
    return int(any(verdict.faults for _, verdict in results.values()))


if __name__ == "__main__":
    sys.exit(main())
