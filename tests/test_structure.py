"""Which package may import which (README, "How it is laid out"). The composition root alone sees everything."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "config": {"config"},
    "metering": {"metering", "config"},
    "billing": {"billing", "metering", "config"},
    "gateway": {"gateway", "metering", "config"},
    "loadtest": {"loadtest", "billing", "metering", "config"},  # a benchmark of billing runs it
}
PACKAGES = set(MAY_IMPORT)
# They time the request path from the inside.
OPENS_THE_GATEWAY = {"loadtest/bench/path.py", "loadtest/bench/path_probe.py", "loadtest/bench/uncounted.py"}
COMPOSITION_ROOT = "gateway/main.py"
SOURCES = sorted(str(path.relative_to(ROOT)) for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
LINES_MAX = 400


def imported(source: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / source).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names & PACKAGES


@pytest.mark.parametrize("source", SOURCES)
def test_imports_go_one_way(source: str) -> None:
    if source not in {COMPOSITION_ROOT, *OPENS_THE_GATEWAY}:
        assert imported(source) <= MAY_IMPORT[source.partition("/")[0]]


@pytest.mark.parametrize("source", SOURCES)
def test_a_file_can_be_read_in_one_sitting(source: str) -> None:
    assert len((ROOT / source).read_text().splitlines()) <= LINES_MAX


def test_a_worker_loads_nothing_it_does_not_need() -> None:
    """Start time and memory of every worker: no web framework, no SQL, no schema."""
    code = "import gateway.worker, sys; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout.split())
    assert "gateway.proxy.client" in loaded
    assert not loaded & {"aiohttp", "sqlalchemy", "pydantic", "yaml", "typer", "rich", "prometheus_client", "billing"}


def test_every_package_says_what_it_owns() -> None:
    for name in PACKAGES:
        text = (ROOT / name / "README.md").read_text()
        for heading in ("Owns", "Does not own", "Invariants", "Meanings of time"):
            assert heading in text, f"{name}/README.md has nothing on: {heading}"
