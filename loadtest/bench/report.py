"""What a benchmark says: one document, shown as tables and kept as JSON. `plot.py` draws it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from loadtest.bench.runner import NOISY

Document = dict[str, Any]


def base_of(rows: list[Document]) -> Document | None:
    """The row that others are compared with: our first, the compiled build before the plain."""
    measured = [row for row in rows if "cpu_us_per_request" in row]
    ours = [row for row in measured if row["target"].startswith(("tollgate", "compiled", "plain"))]
    return min(ours, key=lambda row: "compiled" not in row["target"], default=None)


def ratio(row: Document, base: Document | None) -> float | None:
    """CPU for each request, against the base: above 1, this target needs more."""
    if base is None or not base["cpu_us_per_request"] or "cpu_us_per_request" not in row:
        return None
    return float(row["cpu_us_per_request"] / base["cpu_us_per_request"])


def write(document: Document, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def show(document: Document, console: Console) -> None:
    """Everything that was measured, as tables."""
    for scenario in document["scenarios"]:
        console.print(scenario_table(scenario))
        if scenario.get("facts"):
            console.print(facts_table(scenario["facts"]))
    if document.get("path"):
        console.print(path_table(document["path"], "steps", "The request path alone, µs a request"))
        console.print(
            path_table(document["path"], "metering", "… with every limit and a key, metering taken out, µs a request")
        )
        console.print(path_table(document["path"], "admission", "Admission alone, µs a request"))
    for line in document["left_out"]:
        console.print(f"left out: {line}", style="yellow", highlight=False, markup=False)
    machine = document["machine"]
    console.print(
        f"{machine['date']}, {machine['cpus']} x {machine['cpu']}, Python {machine['python']}, {machine['revision']}; "
        f"load average at the start {machine['load_average']}. {noise(document)}",
        highlight=False,
        markup=False,
    )


def noise(document: Document) -> str:
    """How far the machine was ours, in a sentence."""
    rows = [row for scenario in document["scenarios"] for row in scenario["rows"] if "rounds" in row]
    rounds, noisy = sum(len(row["rounds"]) for row in rows), sum(row["noisy_rounds"] for row in rows)
    if not rounds:
        return "The path alone does not see whether others used the machine."
    if not noisy:
        return "The machine was ours alone."
    return (
        f"Noisy: in {noisy} of {rounds} runs others used more than {NOISY:.0%} of the machine, or the CPU of the paced "
        "client; trust ratios of medians only."
    )


def scenario_table(scenario: Document) -> Table:
    rows, base = scenario["rows"], base_of(scenario["rows"])
    has_content = any(row.get("read_bytes_per_s", 0) > 50e6 for row in rows)
    table = Table(title=f"{scenario['title']}: CPU µs of the proxy for each request", title_justify="left")
    table.add_column("target", no_wrap=True)
    columns = ["CPU µs", "ratio", "req/s", *(["MiB/s"] if has_content else []), "p50 ms", "p99 ms"]
    for name in [*columns, "failed", "noisy"]:
        table.add_column(name, justify="right")
    for row in rows:
        if "error" in row:
            table.add_row(row["target"], f"[red]{(row['error'] or '')[:40]}[/red]")
            continue
        against = ratio(row, base)
        numbers = [
            f"{row['cpu_us_per_request']:,.1f}",
            "" if against is None else f"{against:.2f}",
            f"{row['requests_per_s']:,}",
            *([f"{row['read_bytes_per_s'] / 2**20:,.0f}"] if has_content else []),
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            f"[red]{row['failed']:,}[/red]" if row["failed"] else "0",
            f"{row['noisy_rounds']}/{len(row['rounds'])}",
        ]
        table.add_row(row["target"], *numbers, style="bold" if row is base else "")
    return table


def facts_table(facts: Document) -> Table:
    """What was found out beside the rounds: a line for each thing, a column for each target."""
    table = Table()
    table.add_column("also")
    for target in facts:
        table.add_column(target, justify="right")
    for what in dict.fromkeys(what for found in facts.values() for what in found):
        table.add_row(what, *(f"{found[what]:,g}" if what in found else "" for found in facts.values()))
    return table


def path_table(path: Document, part: str, title: str) -> Table:
    builds = list(path)
    table = Table(title=title, title_justify="left")
    table.add_column("with")
    for build in builds:
        table.add_column(build, justify="right")
        if part != "admission":
            table.add_column("adds", justify="right")
    before: dict[str, float] = {}
    for what in path[builds[0]][part]:
        cells = []
        for build in builds:
            taken = path[build][part][what]
            cells.append(f"{taken:.2f}")
            if part != "admission":
                cells.append(f"{taken - before[build]:+.2f}" if build in before else "")
            before[build] = taken
        table.add_row(what, *cells)
    return table
