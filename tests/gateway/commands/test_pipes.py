"""What is printed into a pipe that nobody reads to its end: no error, whatever the command; a full disk is one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.control.configuration import write_config
from tests.node import ROOT

SCENARIO = """\
timezone: Asia/Shanghai
accounts: [{id: acme, activated_at: "2026-01-01T00:00:00+08:00"}]
instances: [{id: one, account: acme, type: shared, region: ap-guangzhou}]
events: []
until: "2026-03-01T00:00:00+08:00"
"""


def commands(folder: Path) -> list[list[str]]:
    config = str(write_config(folder))
    return [
        ["--help"],
        ["--version"],
        ["check", config],
        ["usage", "-c", config],
        ["usage", "--json", "-c", config],
        ["account", "show", "-c", config],
        ["bill", "--csv", "-c", config],
        ["service", "list", "-c", config],
        ["pack", "list", "--json", "-c", config],
        ["instance", "list", "-c", config],
        ["reconcile", "-c", config],
        ["top-up", "1.00", "-c", config],
        ["usage", "--help"],
    ]


def run(arguments: list[str], stdout: int, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TOLLGATE_DEBUG": "1"}
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        stdout=stdout,
        stderr=stderr,
        text=True,
        cwd=ROOT,
        env=environ,
        check=False,
        timeout=60,
    )


def nobody_reads() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def test_a_reader_that_left_is_no_error(tmp_path: Path) -> None:
    for arguments in commands(tmp_path):
        writer = nobody_reads()
        try:
            done = run(arguments, writer)
        finally:
            os.close(writer)
        assert done.returncode in (0, 141), (arguments, done.stderr)
        assert not [line for line in done.stderr.splitlines() if "agrees" not in line], arguments


def test_a_reader_of_both_that_left_is_none_either(tmp_path: Path) -> None:
    for arguments in commands(tmp_path)[:6]:
        writer = nobody_reads()
        try:
            assert run(arguments, writer, writer).returncode in (0, 141), arguments
        finally:
            os.close(writer)


@pytest.mark.parametrize("reads", ["head -1", "true"])
def test_in_a_shell_too(tmp_path: Path, reads: str) -> None:
    config = write_config(tmp_path)
    script = f"{sys.executable} -m gateway account show --json -c {config} | {reads}; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] in ("0", "141")


def test_a_full_disk_is_an_error_in_words(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    for arguments in (["account", "show", "-c", str(config)], ["check", str(config)]):
        with Path("/dev/full").open("w") as full:
            done = run(arguments, full.fileno())
        assert done.returncode == 1
        assert done.stderr.splitlines()[0].startswith("tollgate: ") and "No space left on device" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_without_any_stdout_a_command_does_its_work(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    script = f"{sys.executable} -m gateway account show -c {config} >&-"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
