"""`tollgate demo --keep`: however it is ended, what it started ends with it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.node import ROOT, until


def of_folder(folder: Path) -> set[int]:
    """Processes that have the folder in their words, or for temporary files: the demo, its origins, node, workers."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit():
                continue
            words = (entry / "environ").read_bytes().split(b"\0")
            if f"TMPDIR={folder}".encode() in words or str(folder).encode() in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
        except OSError:
            continue
    return found


def workers_of(folder: Path) -> list[Path]:
    return list(folder.glob("*/data/run/workers/*.json"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_whatever_ends_it_ends_what_it_started(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "100% of a demo"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "demo", "--keep"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
    )
    try:
        until(lambda: len(workers_of(folder)) == 2, "its node has its workers", 40)
        assert len(of_folder(folder)) >= 4
        # A terminal that is closed tells every process of the group.
        if number == signal.SIGHUP:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        process.wait(30)
        until(lambda: not of_folder(folder), "nothing of it runs any more", 20)
        assert list(folder.iterdir()) == []
    finally:
        for pid in of_folder(folder):
            os.kill(pid, signal.SIGKILL)
        process.wait()
