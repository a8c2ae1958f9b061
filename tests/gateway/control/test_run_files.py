import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.control.run_files import Predecessor, RunFiles, is_writer, send

WRITER = "node-1:0123456789abcdef:shared-0:1"


@pytest.fixture
def worker() -> Iterator[int]:
    """A process whose command line holds the writer id, as a worker's does."""
    code = "import sys; print('up', flush=True); sys.stdin.read()"
    arguments = [sys.executable, "-c", code, WRITER]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        yield process.pid
        process.kill()


def test_a_living_worker_is_found_by_its_file(tmp_path: Path, worker: int) -> None:
    RunFiles(tmp_path).write(WRITER, worker)
    assert RunFiles(tmp_path).predecessors() == [Predecessor(WRITER, worker)]


def test_a_worker_is_found_though_its_pid_was_never_written(tmp_path: Path, worker: int) -> None:
    RunFiles(tmp_path).write(WRITER)
    assert RunFiles(tmp_path).predecessors() == [Predecessor(WRITER, worker)]


def test_a_pid_that_another_process_has_now_is_not_taken_for_the_worker(tmp_path: Path, worker: int) -> None:
    RunFiles(tmp_path).write("node-1:fedcba9876543210:shared-0:1", worker)
    ((_, pid),) = RunFiles(tmp_path).predecessors()
    assert pid is None
    assert not send(worker, "node-1:fedcba9876543210:shared-0:1", signal.SIGKILL)
    assert is_writer(worker, WRITER)


def test_a_removed_file_and_a_broken_one_are_not_listed(tmp_path: Path) -> None:
    files = RunFiles(tmp_path)
    files.write(WRITER)
    files.remove(WRITER)
    (tmp_path / "run" / "workers" / "x.json").write_text("{")
    assert files.predecessors() == []
