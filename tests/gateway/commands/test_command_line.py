"""How commands are called: the file, the help, completion, and what none of them waits for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.control.configuration import config_text, write_config
from tests.node import ROOT


def tollgate(*arguments: str, folder: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **environ},
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "arguments", [["ok.yaml"], ["-c", "ok.yaml"], ["--config", "ok.yaml"], ["ok.yaml", "-c", "ok.yaml"]]
)
def test_check_and_serve_take_the_file_alike(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "ok.yaml").write_text(config_text())
    assert "sound" in tollgate("check", *arguments, folder=tmp_path).stdout
    (tmp_path / "ok.yaml").write_text(config_text().replace("version: 1", "version: 7"))
    for command in ("check", "serve"):
        done = tollgate(command, *arguments, folder=tmp_path)
        assert (done.returncode, "version" in done.stderr) == (1, True), done.stderr


def test_without_a_file_it_is_the_one_that_is_here(tmp_path: Path) -> None:
    for command in ("check", "serve"):
        done = tollgate(command, folder=tmp_path)
        assert (done.returncode, "no tollgate.yaml here" in done.stderr) == (2, True), done.stderr
    write_config(tmp_path)
    assert tollgate("check", folder=tmp_path).stdout.startswith("tollgate.yaml: 1 accounts")


def test_two_files_are_one_too_many(tmp_path: Path) -> None:
    for command in ("check", "serve"):
        done = tollgate(command, "a.yaml", "-c", "b.yaml", folder=tmp_path)
        assert (done.returncode, "two files" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("arguments", [["-h"], ["usage", "-h"], ["pack", "-h"], ["pack", "buy", "-h"], ["serve", "-h"]])
def test_help_has_a_short_name(arguments: list[str]) -> None:
    done = tollgate(*arguments)
    assert done.returncode == 0
    assert "Usage: tollgate" in done.stdout


def test_a_shell_can_complete_commands() -> None:
    environ = {"_TOLLGATE_COMPLETE": "complete_bash", "COMP_WORDS": "tollgate us", "COMP_CWORD": "1"}
    assert tollgate(**environ).stdout.split() == ["usage"]


def test_a_command_loads_nothing_that_it_does_not_need() -> None:
    """Half a second of each call."""
    code = "import gateway.main, sys; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout.split())
    heavy = {"aiohttp", "sqlalchemy", "pydantic", "yaml", "uvloop", "alembic", "jinja2", "prometheus_client", "asyncio"}
    assert not loaded & heavy
