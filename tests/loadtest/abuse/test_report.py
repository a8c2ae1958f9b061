"""A line for each attack, of 80 columns at the most."""

import io
from collections import Counter

import pytest
from rich.console import Console

from loadtest.abuse.__main__ import named
from loadtest.abuse.attack import Seen
from loadtest.abuse.attacks import ATTACKS
from loadtest.abuse.books import Billed, Books, Counted
from loadtest.abuse.judge import Outcome, Verdict
from loadtest.abuse.report import COLUMNS, print_table, short
from loadtest.abuse.stage import ATTACKED, CALM, MARK
from loadtest.abuse.victim import Sample


@pytest.mark.parametrize(
    "number, text",
    [
        (0, "0"),
        (9999, "9999"),
        (10_000, "10k"),
        (9_999_400, "9999k"),
        (10_000_000, "10M"),
        (123_456_789_012, "123G"),
        (10**14, ">10T"),
    ],
)
def test_a_count_has_five_characters_at_most(number: int, text: str) -> None:
    assert short(number) == text


def test_the_table_fits_its_columns_with_the_longest_name_and_large_figures() -> None:
    name = max(ATTACKS, key=len)
    sample = Sample(due_s=0.0, took_ms=9999.0, late_ms=0.0, waited_ms=0.0, error="status 503", bytes_read=0)
    outcome = Outcome(
        alone=[sample._replace(took_ms=10.0)],
        beside=[sample] * 400,
        seen=Seen(sent=640_000, answered=Counter({404: 176_000})),
        noted={},
        books=Books({CALM: Counted(), ATTACKED: Counted(9999, 9_999_000)}, {MARK: Billed()}),
        grown_kib=128 << 10,
    )
    console = Console(file=io.StringIO(), width=COLUMNS)
    print_table(console, {name: (outcome, Verdict(faults=["longest"], doubts=["late"]))})
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    line = next(line for line in printed.splitlines() if line.startswith(name))
    assert line.split() == [name, "9999", "9999", "999", "9999", "400", "128", "640k", "176k", "9999", "9999k", "HURTS"]
    assert f"{name}: longest" in printed
    assert f"{name}: late" in printed
    assert "176000 × 404" in printed


@pytest.mark.parametrize(
    "only, names",
    [
        pytest.param("endless-103", ["endless-103"], id="a whole name"),
        pytest.param("commas", ["commas-te", "commas-connection"], id="the beginning of names"),
        pytest.param("nothing", [], id="no name"),
    ],
)
def test_attacks_are_named_whole_or_by_how_they_begin(only: str, names: list[str]) -> None:
    assert named(only) == names
