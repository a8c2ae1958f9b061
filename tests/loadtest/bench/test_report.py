from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from loadtest.bench import plot, report


def row(target: str, cpu_us: float, **more: Any) -> dict[str, Any]:
    figures = {"requests_per_s": 1000, "p50_ms": 1.0, "p99_ms": 2.0, "read_bytes_per_s": 0, "failed": 0}
    return {"target": target, "cpu_us_per_request": cpu_us, **figures, "noisy_rounds": 0, "rounds": [cpu_us], **more}


DOCUMENT: dict[str, Any] = {
    "machine": {"date": "today", "cpus": 2, "cpu": "a CPU", "python": "3", "revision": "r", "load_average": 0.1},
    "scenarios": [
        {
            "name": "small",
            "title": "small request",
            "rows": [
                row("tollgate plain", 30.0),
                row("tollgate compiled", 20.0),
                row("nginx", 10.0),
                {"target": "caddy", "error": "wrk ended with 1"},
            ],
        }
    ],
    "path": {
        "plain": {
            "steps": {"open": 9.0, "key": 12.5},
            "admission": {"3 levels": 0.2},
            "metering": {"without": 9.5, "with": 12.5},
        }
    },
    "left_out": ["envoy: no envoy on the path"],
}


def shown(document: dict[str, Any]) -> str:
    out = io.StringIO()
    report.show(document, Console(file=out, width=140))
    return out.getvalue()


def test_ratios_are_against_the_compiled_build() -> None:
    base = report.base_of(DOCUMENT["scenarios"][0]["rows"])
    assert base is not None and base["target"] == "tollgate compiled"
    assert report.ratio(row("nginx", 10.0), base) == 0.5
    assert report.ratio({"target": "caddy", "error": "gone"}, base) is None
    assert report.ratio(row("nginx", 10.0), None) is None


def test_the_report_has_every_target_what_failed_and_what_was_left_out() -> None:
    text = shown(DOCUMENT)
    for part in ("tollgate compiled", "0.50", "wrk ended with 1", "left out: envoy", "+3.50", "+3.00", "ours alone"):
        assert part in text


def test_what_else_was_found_is_shown_by_target() -> None:
    facts = {"plain": {"start, s": 21.5}, "compiled": {"start, s": 19.0, "reload live, s": 12.25}}
    scenario = {"name": "routes", "title": "routes", "rows": [row("plain: one path", 10.0)], "facts": facts}
    lines = shown({**DOCUMENT, "scenarios": [scenario]}).splitlines()
    start, reload = (next(line for line in lines if what in line) for what in ("start, s", "reload live, s"))
    assert "21.5" in start and "19" in start
    assert "12.25" in reload


def test_the_picture_of_a_scenario_shows_its_figure() -> None:
    scenario = {"name": "p99", "title": "half", "figure": "p99_ms", "rows": [row("nginx", 10.0)]}
    ((title, bars),) = plot._panels({"scenarios": [scenario]})
    assert title == "half: p99, ms"
    assert bars == [("nginx", 2.0)]


def test_a_noisy_run_says_so() -> None:
    scenario = {"name": "small", "title": "small", "rows": [row("nginx", 10.0, noisy_rounds=1)]}
    assert "in 1 of 1 runs" in shown({**DOCUMENT, "scenarios": [scenario]})


def test_the_figures_are_kept_and_drawn(tmp_path: Path) -> None:
    report.write(DOCUMENT, tmp_path / "out" / "bench.json")
    assert json.loads((tmp_path / "out" / "bench.json").read_text()) == DOCUMENT
    (picture,) = plot.draw(DOCUMENT, tmp_path / "bench.png")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_nothing_measured_is_nothing_drawn(tmp_path: Path) -> None:
    assert plot.draw({**DOCUMENT, "scenarios": [], "path": None}, tmp_path / "none.png") == []


def test_without_runs_nothing_is_said_of_the_machine() -> None:
    assert "ours alone" not in shown({**DOCUMENT, "scenarios": []})
