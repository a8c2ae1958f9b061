"""What commands print of texts that came from outside: nothing acts on a terminal, nothing is a formula."""

import csv
import io
import json
import logging
import sys

import pytest

from gateway.commands.output import Column, print_csv, print_json, print_table
from gateway.commands.serve import PlainLines
from tests.gateway.commands.conftest import Tollgate

ACTING = "\x1b]0;owned\x07\x9b31m\u202e\x7f\u2028"
COLUMNS = (Column("what", lambda one: one["what"]), Column("n", lambda one: one["n"], True))


def acting(text: str) -> list[str]:
    return [character for character in text if not character.isprintable() and character != "\n"]


def test_a_table_shows_control_characters_and_its_title_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, [{"what": ACTING, "n": 5}, {"what": "[red]a\nb", "n": 6}], f"[bold]{ACTING}")
    out = capsys.readouterr().out
    assert acting(out) == []
    for text in (r"\x1b]0;owned\x07", r"\u202e", r"[red]a\nb", "[bold]"):
        assert text in out


def test_json_is_the_same_document_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"what": ACTING, "é": [1]})
    out = capsys.readouterr().out
    assert json.loads(out) == {"what": ACTING, "é": [1]}
    assert acting(out) == []


def test_csv_has_no_formula_and_its_numbers_stay_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    items = [{"what": "=HYPERLINK(1)", "n": "-1.00000000"}, {"what": f"@{ACTING}", "n": -5}, {"what": None, "n": "+1"}]
    print_csv([("what", lambda one: one["what"]), ("n", lambda one: one["n"])], items)
    out = capsys.readouterr().out.replace("\r\n", "\n")
    assert acting(out) == []
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[1] == ["'=HYPERLINK(1)", "-1.00000000"]
    assert rows[2][0].startswith("'@\\x1b") and rows[2][1] == "-5"
    assert rows[3] == ["", "'+1"]


def test_errors_do_not_act_either(bare: Tollgate, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = bare("account", "show", ACTING, "-c", f"/nowhere/{ACTING}.yaml")
    assert outcome.code == 1 and acting(outcome.errors) == []
    outcome = bare("account", "show", "\udcff")
    assert (outcome.code, acting(outcome.errors)) == (2, [])
    assert "no UTF-8" in outcome.errors
    assert bare("top-up", "1.00", "--idempotency-key", "a\nb").code == 2


def test_a_log_line_is_a_line() -> None:
    formatter = PlainLines("%(levelname)s %(message)s")
    try:
        raise ValueError(f"a\n{ACTING}")
    except ValueError:
        record = logging.LogRecord("n", logging.ERROR, "p", 1, "%s", (f"{ACTING}\nERROR forged",), sys.exc_info())
    shown = formatter.format(record)
    assert acting(shown) == []
    assert shown.splitlines()[0].endswith(r"\nERROR forged")
    assert "ValueError: a" in shown
