"""`tollgate loadtest compare` as a user runs it, very small: real Locust, node, origins, bill."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.main", "loadtest", "compare", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, cwd=ROOT)


def test_a_small_mix_on_both_instances_adds_up_to_the_byte_and_the_bill(tmp_path: Path) -> None:
    done = compare("--only", "mix", "--seconds", "3", "--share", "0.5", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert all(check["is_equal"] for check in figures["audit"]) and len(figures["audit"]) == 11
    for row in figures["runs"]["mix"]:
        assert row["sent"] == row["admitted"] + row["refused"] + row["failed"]
        assert row["admitted"] > 0
    assert "everything adds up" in (tmp_path / "report.html").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "figures.json", "mix.png", "audit.png"}


@pytest.mark.parametrize(
    "arguments", [("--only", "storm"), ("--seconds", "1"), ("--share", "2")], ids=["run", "seconds", "share"]
)
def test_what_is_not_known_or_not_bounded_is_refused(arguments: tuple[str, str]) -> None:
    done = compare(*arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr
