"""The request path alone, in both builds, in turns: each turn is a process of its own (`path_probe.py`).

Beside each build takes its turns what is left of it without counting (`uncounted.py`): the difference is metering's.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from gateway import compiled
from loadtest.bench import uncounted
from loadtest.bench.machine import PROXY_CPU

PROBE_S_MAX: Final = 120.0
FULL: Final = "key"  # of the probe's steps: what a request costs where all is on
Figures = dict[str, dict[str, dict[str, float]]]  # build -> "steps", "admission" or "metering" -> what -> microseconds


def measure(builds: Sequence[str], rounds: int, repeats: int, advance: Callable[[], None] = lambda: None) -> Figures:
    """Medians over the rounds, by build. Raises RuntimeError where a probe fails, or counts when it should not."""
    turns: dict[str, list[dict[str, Any]]] = {build: [] for build in builds}
    without: dict[str, list[float]] = {build: [] for build in builds}
    with tempfile.TemporaryDirectory(prefix="tollgate-uncounted-") as folder:
        trees = {build: _uncounted(build, Path(folder)) for build in builds}
        for _ in range(rounds):
            for build in builds:
                turns[build].append(_probe(build, repeats, None if build == "plain" else compiled.home()))
                without[build].append(_probe(build, repeats, trees[build], is_counted=False)["steps"][FULL])
                advance()
    return {
        build: {
            **{
                part: {what: statistics.median(turn[part][what] for turn in done) for what in done[0][part]}
                for part in ("steps", "admission")
            },
            "metering": {
                "without": statistics.median(without[build]),
                "with": statistics.median(turn["steps"][FULL] for turn in done),
            },
        }
        for build, done in turns.items()
    }


def _uncounted(build: str, folder: Path) -> Path:
    try:
        return uncounted.make(folder, is_compiled=build == "compiled")
    except compiled.CompileError as error:
        raise RuntimeError(f"without counting, the {build} build: {error}") from error


def _probe(build: str, repeats: int, tree: Path | None, *, is_counted: bool = True) -> dict[str, Any]:
    """What the probe found. ``tree``: of modules that run instead of the sources."""
    argv = ["taskset", "-c", str(PROXY_CPU), sys.executable, "-m", "loadtest.bench.path_probe", str(repeats)]
    done = subprocess.run(argv, capture_output=True, text=True, env=_environment(tree), timeout=PROBE_S_MAX)
    if done.returncode != 0:
        raise RuntimeError(f"the {build} probe ended with {done.returncode}: {done.stderr.strip()[-800:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    if figures["is_compiled"] != (build == "compiled"):
        raise RuntimeError(f"the {build} probe ran the other build")
    if figures["calls"] != (figures["exchanges"] if is_counted else 0):
        raise RuntimeError(f"the {build} probe counted {figures['calls']} calls of {figures['exchanges']} exchanges")
    return figures


def _environment(tree: Path | None) -> dict[str, str]:
    """As a worker has it that runs ``tree``."""
    return {**os.environ, **({"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"} if tree else {})}
