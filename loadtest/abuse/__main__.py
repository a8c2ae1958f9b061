"""A victim beside attacks on a node that both share: ``python -m loadtest.abuse``.

One worker serves a calm client and, in turn, attackers of every kind. Beside each of them no request of the calm one
may fail or take 50 ms, its p99 may be three times what it is alone, no process of the node may die, nobody pays for
what was not asked. Exit code 1 where that does not hold. What breaks a bound only because someone waited for a CPU is
`unclear`, and no failure: on a machine that others use, too, `--patient 4` is of help.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from loadtest.abuse.attacks import ATTACKS
from loadtest.abuse.judge import Outcome, Verdict, document, judge
from loadtest.abuse.report import COLUMNS, print_table
from loadtest.abuse.run import run
from loadtest.processes import stop_in_order

SECONDS = 4.0


def _parsed() -> argparse.Namespace:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--only", action="append", metavar="NAME", choices=list(ATTACKS), help="may stand more than once")
    ask.add_argument("--seconds", type=float, default=SECONDS, help="of the victim alone, and beside each attack")
    ask.add_argument("--patient", type=float, default=1.0, metavar="FACTOR", help="on the bounds of times")
    ask.add_argument("--json", type=Path, metavar="FILE", help="figures, too")
    ask.add_argument("--list", action="store_true", help="names the attacks, and ends")
    return ask.parse_args()


def _measured(given: argparse.Namespace, console: Console) -> dict[str, tuple[Outcome, Verdict]]:
    names = given.only or list(ATTACKS)
    results: dict[str, tuple[Outcome, Verdict]] = {}
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=len(names))
        for name in names:
            outcome = run(
                ATTACKS[name], given.seconds, lambda text, name=name: progress.update(bar, description=f"{name:<22.22}")
            )
            results[name] = outcome, judge(ATTACKS[name], outcome, given.patient)
            progress.advance(bar)
    return results


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
    results = _measured(given, console)
    print_table(console, results)
    if given.json is not None:
        attacks = {name: document(outcome, verdict) for name, (outcome, verdict) in results.items()}
        made = {"machine": machine, "seconds": given.seconds, "patient": given.patient, "attacks": attacks}
        given.json.write_text(json.dumps(made, indent=1) + "\n")
    return int(any(verdict.faults for _, verdict in results.values()))


if __name__ == "__main__":
    sys.exit(main())
