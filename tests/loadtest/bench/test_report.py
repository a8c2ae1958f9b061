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
    "path": {"plain": {"steps": {"open": 9.0, "key": 12.5}, "admission": {"3 levels": 0.2}}},
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
    for part in ("tollgate compiled", "0.50", "wrk ended with 1", "left out: envoy", "+3.50", "ours alone"):
        assert part in text


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
