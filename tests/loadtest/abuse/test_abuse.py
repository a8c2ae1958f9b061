"""Two attacks of a second on a real node: the structure of what comes of them, and that books add up. No times."""

import json

import pytest

from loadtest.abuse.attacks import ATTACKS
from loadtest.abuse.judge import document, judge
from loadtest.abuse.report import COLUMNS, TITLES, row
from loadtest.abuse.run import run
from loadtest.abuse.stage import ATTACKED, CALM, MARK, VICTIM


@pytest.mark.parametrize(
    "name, status",
    [pytest.param("refusal-flood", 429, id="refused"), pytest.param("half-open", None, id="cut")],
)
def test_an_attack_is_measured_beside_a_victim_and_its_books_add_up(name: str, status: int | None) -> None:
    outcome = run(ATTACKS[name], seconds=1.0)
    assert len(outcome.alone) > 50
    assert len(outcome.beside) > 50
    assert outcome.seen.sent > 50
    if status is not None:
        assert outcome.seen.answered[status] > 50
    assert (outcome.deaths, outcome.is_control_alive) == (0, True)
    assert outcome.asked == outcome.completed
    books = outcome.books
    assert books is not None
    assert (books.counted[CALM].calls, books.counted[CALM].egress_bytes) == (outcome.asked, outcome.read_bytes)
    assert books.billed[VICTIM].calls == outcome.asked
    assert books.billed[MARK].calls == books.counted[ATTACKED].calls <= outcome.seen.sent
    verdict = judge(ATTACKS[name], outcome, patience=1000)
    assert not verdict.faults
    told = json.loads(json.dumps(document(outcome, verdict)))
    assert told["beside"]["requests"] == len(outcome.beside)
    assert told["books"]["counted"][CALM]["calls"] == outcome.asked
    cells = row(name, outcome, verdict)
    assert len(cells) == len(TITLES)
    assert sum(max(len(cell), len(title)) + 1 for cell, title in zip(cells, TITLES, strict=True)) <= COLUMNS
