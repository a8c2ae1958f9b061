import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.control.snapshot_files import SnapshotFiles
from gateway.limits.table import LimitTable


@pytest.fixture
def files(tmp_path: Path) -> Iterator[SnapshotFiles]:
    files = SnapshotFiles(tmp_path)
    yield files
    files.close()


def document(n: int) -> dict[str, Any]:
    return {"burst_ms": n}


def test_a_snapshot_says_its_version_and_an_unchanged_one_is_not_written_again(files: SnapshotFiles) -> None:
    first = files.write({"shared": document(1)})["shared"]
    again = files.write({"shared": document(1)})["shared"]
    changed = files.write({"shared": document(2)})["shared"]
    assert first == again
    assert changed.version > first.version
    assert json.loads(changed.path.read_text()) == {"version": changed.version, "burst_ms": 2}


def test_versions_grow_over_restarts(files: SnapshotFiles, tmp_path: Path) -> None:
    before = files.write({"shared": document(1)})["shared"]
    after = SnapshotFiles(tmp_path)
    assert after.write({"shared": document(1)})["shared"].version > before.version
    after.close()


def test_the_last_two_of_a_pool_stay_on_the_disk(files: SnapshotFiles) -> None:
    paths = [files.write({"shared": document(n)})["shared"].path for n in range(5)]
    assert [path.exists() for path in paths] == [False, False, False, True, True]


def test_a_limit_keeps_its_slot_over_snapshots_and_restarts(files: SnapshotFiles, tmp_path: Path) -> None:
    slots = [files.slot_of("shared", name) for name in ("instance:a", "service:b", "service:c")]
    files.write({"shared": document(1)})
    files.close()
    after = SnapshotFiles(tmp_path)
    assert [after.slot_of("shared", name) for name in ("service:c", "service:b", "instance:a")] == slots[::-1]
    after.close()


def test_a_slot_is_free_for_others_one_snapshot_after_its_last_use(files: SnapshotFiles) -> None:
    gone = files.slot_of("shared", "service:gone")
    files.write({"shared": document(1)})
    files.write({"shared": document(2)})  # the first without it: workers may still use the one before
    assert files.slot_of("shared", "service:next") != gone
    files.write({"shared": document(3)})
    assert files.slot_of("shared", "service:last") == gone


def test_every_pool_has_a_limit_table_that_a_worker_can_open(files: SnapshotFiles) -> None:
    files.write({"shared": document(1), "acme-dedicated": document(1)})
    for pool in ("shared", "acme-dedicated"):
        LimitTable.open(files.limit_table(pool)).close()
