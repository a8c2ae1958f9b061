"""The page and its pictures, from records without a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.compare import plots, report
from loadtest.compare.audit import Check, audit
from loadtest.compare.plan import PLAN, Run
from loadtest.compare.recording import Recorder
from tests.loadtest.compare.test_audit import LINES, USAGE, seen

START = 1_000_000
PNG = b"\x89PNG"


def records(run: Run) -> dict[str, Recorder]:
    made = {}
    for offer in run.offers:
        recorder = made[offer.instance] = Recorder()
        kinds = ["json", "upload 16 MiB", "websocket"] if run.mix == "mixed" else ["json"]
        for second in range(int(run.seconds)):
            for number in range(40):
                recorder.add(kinds[number % len(kinds)], 200 if number % 3 else 429, START + second, 1.0 + number)
    return made


@pytest.mark.parametrize("run", PLAN, ids=lambda run: run.name)
def test_every_run_is_drawn_whatever_came_of_it(run: Run, tmp_path: Path) -> None:
    plots.draw(run, START, records(run), tmp_path / "full.png")
    assert (tmp_path / "full.png").read_bytes().startswith(PNG)
    empty = {offer.instance: Recorder() for offer in run.offers}
    plots.draw(run, START, empty, tmp_path / "empty.png")
    assert (tmp_path / "empty.png").read_bytes().startswith(PNG)


def page(tmp_path: Path, checks: list[Check], seen: dict[str, Recorder] | None = None) -> str:
    picture = tmp_path / "a.png"
    plots.draw_audit(checks, picture)
    run = PLAN[0]
    return report.render([(run, seen or records(run), picture)], checks, picture, LINES, "a <footer>")


def test_the_page_has_pictures_figures_audit_and_bill(tmp_path: Path) -> None:
    text = page(tmp_path, audit(seen(), USAGE, LINES))
    assert text.count("data:image/png;base64,") == 2
    for part in ("everything adds up", "In four steps", "640", "egress backend", "0.36000000", "a &lt;footer&gt;"):
        assert part in text
    assert "http" not in text.replace("https://", "http://").split("<body>")[1].split("base64")[0]


def test_a_page_that_does_not_add_up_says_so_at_the_top(tmp_path: Path) -> None:
    broken = seen()
    broken["shared"].read_bytes += 1
    text = page(tmp_path, audit(broken, USAGE, LINES))
    assert "something does NOT add up" in text
    assert '<td class="no">NO' in text


def test_failures_are_told_in_words(tmp_path: Path) -> None:
    run = PLAN[0]
    failing = records(run)
    failing["shared"].add("json", 504, START, 3000.0)
    assert "shared: 1 x json: 504 after 3 s" in page(tmp_path, audit(seen(), USAGE, LINES), failing)


def test_the_bills_lines_add_up_without_loss() -> None:
    summary = {(line["instance"], line["meter"]): line for line in report.bill_summary([*LINES, *LINES])}
    assert summary["shared", "egress client"]["amount"] == "0.72000000"
    assert summary["dedicated", "instance seconds"]["quantity"] == 7200
