import subprocess
import sys
from pathlib import Path

import pytest

from gateway.control.errors import DataDirBusy
from gateway.control.lock import DataDirLock, is_held


def test_a_second_holder_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with DataDirLock(tmp_path), pytest.raises(DataDirBusy, match=r"pid \d+"):
        DataDirLock(tmp_path)


def test_it_is_held_while_it_is_held(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    with DataDirLock(tmp_path):
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from gateway.control.lock import DataDirLock;"
        "lock = DataDirLock(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert is_held(tmp_path)
        holder.kill()
        holder.wait()
    assert not is_held(tmp_path)
