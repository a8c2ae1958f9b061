"""Limits as people see them, over real tables that a worker's handles take from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.control.limit_view import LimitView
from gateway.control.snapshot import PoolSnapshot
from gateway.control.snapshot_files import SnapshotFiles
from gateway.limits.admission import LimitSet
from gateway.limits.entry import LimitEntry
from gateway.limits.quota import QuotaHandles
from gateway.limits.setting import Setting
from gateway.limits.table import SETTING, WORDS_PER_SLOT, LimitTable
from gateway.snapshot_file import Piece
from metering.clock import VirtualClock
from tests.gateway.limits.contract import SECOND, make_limit


@pytest.fixture
def files(tmp_path: Path) -> Iterator[SnapshotFiles]:
    files = SnapshotFiles(tmp_path)
    yield files
    files.close()


def entry(files: SnapshotFiles, name: str, qps: int, **more: Any) -> LimitEntry:
    level, _, of = name.partition(":")
    service, _, part = of.partition("/")
    more = {"service": "-" if level == "instance" else service, "part": part or "-", **more}
    return LimitEntry(name, files.slot_of("shared", name), "one", qps=qps, **more)


def write(files: SnapshotFiles, *entries: LimitEntry, workers: int = 2) -> None:
    files.write({"shared": PoolSnapshot(100, {}, [], entries, workers)})


def worker_set(files: SnapshotFiles, *entries: LimitEntry) -> LimitSet:
    path = files.limit_table("shared")
    return LimitSet(tuple(make_limit(path, one.slot, one.qps, one.level, workers=2) for one in entries))


def view_of(files: SnapshotFiles) -> LimitView:
    return LimitView(files, VirtualClock(), "Asia/Shanghai")


def test_what_was_admitted_lately_and_what_would_be_now(files: SnapshotFiles) -> None:
    whole, orders = entry(files, "instance:one", 50), entry(files, "service:orders", 20, is_shadow=True)
    write(files, whole, orders)
    view, limits = view_of(files), worker_set(files, whole, orders)
    now_ns = time.monotonic_ns()
    view.look(now_ns - 30 * SECOND)
    for _ in range(3):
        assert limits.admit(now_ns - 20 * SECOND) is None
    view.look(now_ns - 2 * SECOND)
    assert limits.admit(now_ns) is None
    rows = view.rows()
    assert [row["level"] for row in rows] == ["instance", "service"]
    assert [(row["qps"], row["mode"], row["service"]) for row in rows] == [
        (50, "enforce", None),
        (20, "shadow", "orders"),
    ]
    assert [row["admitted_last_minute"] for row in rows] == [4, 4]
    assert all(0 <= row["admitted_last_second"] <= 1 for row in rows)
    assert rows[0]["headroom"] in (5, 6), "a burst of 5 and one, less one that comes back in a fiftieth of a second"
    assert rows[0]["burst"] == 5


def test_a_last_second_is_no_more_than_a_second(files: SnapshotFiles) -> None:
    one = entry(files, "instance:one", 50_000)
    write(files, one)
    view, limits = view_of(files), worker_set(files, one)
    began_ns = time.monotonic_ns() - 3 * SECOND
    for step in range(30):
        view.look(began_ns + step * SECOND // 10)
        for _ in range(100):
            assert limits.admit(began_ns + step * SECOND // 10) is None
    row = view.rows()[0]
    assert 700 <= row["admitted_last_second"] <= 1300
    assert row["admitted_last_minute"] >= 3000


def test_the_sums_for_metrics_never_go_down(files: SnapshotFiles) -> None:
    routes = [entry(files, f"route:orders/{name}", 10) for name in "ab"]
    write(files, *routes)
    view = view_of(files)
    for one in routes:
        assert worker_set(files, one).admit(SECOND) is None
    view.look(SECOND)
    assert view.admitted == {("one", "orders", "route"): 2}
    write(files, routes[0])
    write(files, routes[0])  # The slot of b is free now, and given to another.
    other = entry(files, "service:orders", 5)
    assert other.slot == routes[1].slot
    write(files, routes[0], other)
    assert worker_set(files, other).admit(9 * SECOND) is None
    view.look(9 * SECOND)
    assert view.admitted == {("one", "orders", "route"): 2, ("one", "orders", "service"): 1}


def test_a_changed_setting_is_in_the_table_before_a_worker_is_told(files: SnapshotFiles) -> None:
    one = entry(files, "service:orders", 1)
    write(files, one)
    table = LimitTable.open(files.limit_table("shared"))
    assert table.words[one.slot * WORDS_PER_SLOT + SETTING] == Setting(1, 100, 2).word
    held = worker_set(files, one)
    while held.admit(SECOND) is None:
        pass
    piece = Piece.of({"id": "orders", "routes": []}, (one._replace(qps=500),))
    files.write({"shared": PoolSnapshot(100, {}, [piece], (), 3)})
    assert table.words[one.slot * WORDS_PER_SLOT + SETTING] == Setting(500, 100, 3).word
    later_ns = time.monotonic_ns() + SECOND
    assert [held.admit(later_ns) is None for _ in range(20)] == [True] * 20, "a handle of the old one goes by the new"
    files.write({"shared": PoolSnapshot(100, {}, [piece], (), 4)})
    assert table.words[one.slot * WORDS_PER_SLOT + SETTING] == Setting(500, 100, 4).word
    table.close()


def test_a_quota_is_kept_over_a_restart_and_while_its_key_is_away(files: SnapshotFiles, tmp_path: Path) -> None:
    quota = entry(files, "quota:orders/k1", 100, per="month")
    write(files, quota)
    document = {"slot": quota.slot, "calls": 100, "per": "month", "timezone": "Asia/Shanghai"}
    handle = QuotaHandles(files.limit_table("shared"), VirtualClock()).quota("orders/k1", document)
    for _ in range(3):
        handle.count()
    for _ in range(3):
        write(files)
    write(files, entry(files, "quota:orders/k1", 100, per="month"))
    files.close()
    after = SnapshotFiles(tmp_path)
    write(after, entry(after, "quota:orders/k1", 100, per="month"), entry(after, "quota:orders/k2", 7, per="day"))
    rows = view_of(after).rows()
    assert [(row["key"], row["headroom"], row["quota"]["used"]) for row in rows] == [("k1", 97, 3), ("k2", 7, 0)]
    assert rows[1]["quota"]["resets_at"].endswith("T16:00:00Z"), "midnight in Shanghai"
    after.close()


def test_what_an_earlier_process_saw_admitted_is_not_admitted_again(files: SnapshotFiles) -> None:
    """Nor is it when a slot was nobody's for a while."""
    one, two = entry(files, "instance:one", 50), entry(files, "service:orders", 20)
    write(files, one, two)
    limits, now_ns = worker_set(files, one, two), time.monotonic_ns()
    assert limits.admit(now_ns) is None
    view = view_of(files)
    view.begin(now_ns)
    view.look(now_ns)
    assert dict(view.admitted) == {}
    write(files, one)
    view.look(now_ns + 1)
    write(files, one, two)
    assert limits.admit(now_ns + SECOND) is None
    view.look(now_ns + 2)
    assert sorted(view.admitted.values()) == [1, 1]
