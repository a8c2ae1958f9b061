"""`python -m loadtest.bench` as a program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def bench(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "loadtest.bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **env})


@pytest.mark.parametrize(
    "arguments",
    [("--only", "varnish"), ("--scenario", "huge"), ("--rounds", "0"), ("--seconds", "1000")],
    ids=["target", "scenario", "rounds", "seconds"],
)
def test_what_is_not_known_or_not_bounded_is_refused(arguments: tuple[str, str]) -> None:
    done = bench(*arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr


def test_without_the_tools_it_says_which_are_missing_and_fails(tmp_path: Path) -> None:
    done = bench("--scenario", "small", "--only", "nginx", "--json", str(tmp_path / "b.json"), PATH="/nowhere")
    assert done.returncode == 1
    assert json.loads((tmp_path / "b.json").read_text())["scenarios"] == []
    assert "nginx, wrk" in done.stdout
