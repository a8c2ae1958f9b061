"""The request path alone, in both builds, in turns: each turn is a process of its own (`path_probe.py`)."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from gateway import compiled
from loadtest.bench.machine import PROXY_CPU

PROBE_S_MAX: Final = 120.0
Figures = dict[str, dict[str, dict[str, float]]]  # build -> "steps" or "admission" -> what -> microseconds


def measure(builds: Sequence[str], rounds: int, repeats: int, advance: Callable[[], None] = lambda: None) -> Figures:
    """Medians over the rounds, by build. Raises RuntimeError where the probe fails."""
    turns: dict[str, list[dict[str, Any]]] = {build: [] for build in builds}
    for _ in range(rounds):
        for build in builds:
            turns[build].append(_probe(build, repeats))
            advance()
    return {
        build: {
            part: {what: statistics.median(turn[part][what] for turn in done) for what in done[0][part]}
            for part in ("steps", "admission")
        }
        for build, done in turns.items()
    }


def _probe(build: str, repeats: int) -> dict[str, Any]:
    argv = ["taskset", "-c", str(PROXY_CPU), sys.executable, "-m", "loadtest.bench.path_probe", str(repeats)]
    done = subprocess.run(argv, capture_output=True, text=True, env=_environment(build), timeout=PROBE_S_MAX)
    if done.returncode != 0:
        raise RuntimeError(f"the {build} probe ended with {done.returncode}: {done.stderr.strip()[-800:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    if figures["is_compiled"] != (build == "compiled"):
        raise RuntimeError(f"the {build} probe ran the other build")
    return figures


def _environment(build: str) -> dict[str, str]:
    """As a worker of that build has it."""
    if build == "plain":
        return dict(os.environ)
    home = str(compiled.home())
    return {**os.environ, "PYTHONPATH": home, "PYTHONSAFEPATH": "1"}
