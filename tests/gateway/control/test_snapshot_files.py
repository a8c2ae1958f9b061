from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.control.snapshot import PoolSnapshot
from gateway.control.snapshot_files import SnapshotFiles
from gateway.limits.entry import LimitEntry
from gateway.limits.table import LimitTable
from gateway.snapshot_file import SnapshotFile


@pytest.fixture
def files(tmp_path: Path) -> Iterator[SnapshotFiles]:
    files = SnapshotFiles(tmp_path)
    yield files
    files.close()


def document(n: int, *limits: str) -> PoolSnapshot:
    entries = (LimitEntry(name, slot) for slot, name in enumerate(limits))
    return PoolSnapshot(n, {}, [], tuple(entries))


def test_a_snapshot_says_its_version_and_an_unchanged_one_is_not_written_again(files: SnapshotFiles) -> None:
    first = files.write({"shared": document(1)})["shared"]
    again = files.write({"shared": document(1)})["shared"]
    changed = files.write({"shared": document(2)})["shared"]
    assert first == again
    assert changed.version > first.version
    read = SnapshotFile(changed.path)
    assert (read.version, read.burst_ms, read.instances, read.services) == (changed.version, 2, {}, [])


def test_versions_grow_over_restarts(files: SnapshotFiles, tmp_path: Path) -> None:
    before = files.write({"shared": document(1)})["shared"]
    after = SnapshotFiles(tmp_path)
    assert after.write({"shared": document(1)})["shared"].version > before.version
    after.close()


def test_the_last_two_of_a_pool_stay_on_the_disk(files: SnapshotFiles) -> None:
    paths = [files.write({"shared": document(n)})["shared"].path for n in range(5)]
    assert [path.exists() for path in paths] == [False, False, False, True, True]


def test_a_limit_keeps_its_slot_over_snapshots_and_restarts(files: SnapshotFiles, tmp_path: Path) -> None:
    names = ("instance:a", "service:b", "service:c")
    slots = [files.slot_of("shared", name) for name in names]
    files.write({"shared": document(1, *names)})
    files.close()
    after = SnapshotFiles(tmp_path)
    assert [after.slot_of("shared", name) for name in ("service:c", "service:b", "instance:a")] == slots[::-1]
    after.close()


def test_a_slot_is_free_for_others_one_snapshot_after_its_last_use(files: SnapshotFiles) -> None:
    gone = files.slot_of("shared", "service:gone")
    files.write({"shared": document(1, "service:gone")})
    files.write({"shared": document(2)})  # the first without it: workers may still use the one before
    assert files.slot_of("shared", "service:next") != gone
    files.write({"shared": document(3, "service:next")})
    assert files.slot_of("shared", "service:last") == gone


def test_every_pool_has_a_limit_table_that_a_worker_can_open(files: SnapshotFiles) -> None:
    files.write({"shared": document(1), "acme-dedicated": document(1)})
    for pool in ("shared", "acme-dedicated"):
        LimitTable.open(files.limit_table(pool)).close()
