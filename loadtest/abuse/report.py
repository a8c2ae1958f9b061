"""An attack as a line of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadtest.abuse.judge import Outcome, Verdict, times
from loadtest.abuse.stage import ATTACKED, MARK

COLUMNS: Final = 80
_STYLES: Final = {"holds": "green", "doubt": "yellow", "HURTS": "red"}
# Times in ms of the victim; `sent` and what follows are the attacker's, and of the account that it attacks.
TITLES: Final = ("attack", "p50", "p99", "p99/", "max", "err", "MiB", "sent", "ans", "calls", "egress", "")


def short(number: float) -> str:
    """Five characters at most."""
    for bound, unit in ((1e4, ""), (1e7, "k"), (1e10, "M"), (1e13, "G")):
        if number < bound:
            return f"{number / {'': 1, 'k': 1e3, 'M': 1e6, 'G': 1e9}[unit]:.0f}{unit}"
    return ">10T"


def _ms(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def row(name: str, outcome: Outcome, verdict: Verdict) -> tuple[str, ...]:
    alone, beside = times(outcome.alone), times(outcome.beside)
    counted = None if outcome.books is None else outcome.books.counted[ATTACKED]
    return (
        name,
        _ms(beside["p50"]),
        _ms(beside["p99"]),
        f"{min(999, beside['p99'] / max(alone['p99'], 1e-6)):.0f}",
        f"{beside['longest']:.0f}",
        str(sum(bool(one.error) for one in outcome.beside)),
        str(outcome.grown_kib >> 10),
        short(outcome.seen.sent),
        short(outcome.seen.answered.total()),
        "?" if counted is None else short(counted.calls),
        "?" if counted is None else short(counted.egress_bytes),
        verdict.word,
    )


def print_table(console: Console, results: Mapping[str, tuple[Outcome, Verdict]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), width=None)
    for title in TITLES:
        table.add_column(title, justify="left" if title in ("attack", "") else "right", no_wrap=True)
    for name, (outcome, verdict) in results.items():
        *cells, word = row(name, outcome, verdict)
        table.add_row(*cells, Text(word, _STYLES[word]))
    console.print(table)
    for name, (outcome, verdict) in results.items():
        print_details(console, name, outcome, verdict)


def print_details(console: Console, name: str, outcome: Outcome, verdict: Verdict) -> None:
    """What was wrong, and how the attacker was answered and billed."""
    for kind, texts in (("HURTS", verdict.faults), ("doubt", verdict.doubts)):
        for text in texts:
            console.print(f"{name}: {text}", style=_STYLES[kind], highlight=False)
    if verdict.faults:
        console.print(f"  {told(outcome)}", style="dim", highlight=False)


def told(outcome: Outcome) -> str:
    statuses = ", ".join(f"{number} × {status}" for status, number in outcome.seen.answered.most_common(4))
    amount = "?" if outcome.books is None else outcome.books.billed[MARK].amount
    return f"attacker: {statuses or 'no answer'}, {outcome.seen.cut} connections cut; its account's bill USD {amount}"
