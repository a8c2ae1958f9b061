"""Counter files are kept as they are until their month is closed, and compressed then."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from metering.archive import closed_before, compress_one
from metering.clock import hour_of

TZ = "Asia/Shanghai"


def epoch(text: str) -> float:
    return datetime.fromisoformat(f"{text}+08:00").timestamp()


@pytest.mark.parametrize(
    "now, first_open",
    [
        pytest.param("2026-12-02 23:59:59", "2026-11", id="day 2: November is open"),
        pytest.param("2026-12-03 00:00:00", "2026-12", id="P11: closed on day 3, 00:00"),
        pytest.param("2026-12-31 12:00:00", "2026-12", id="the end of a month"),
        pytest.param("2027-01-01 00:00:00", "2026-12", id="over a year"),
    ],
)
def test_a_month_closes_on_day_3(now: str, first_open: str) -> None:
    assert closed_before(epoch(now), TZ) == first_open


def test_files_of_closed_months_are_compressed_oldest_first(tmp_path: Path) -> None:
    hours = {month: hour_of(epoch(f"2026-{month}-01 00:00:00")) for month in (10, 11, 12)}
    for month, hour in hours.items():
        (tmp_path / f"{hour}-w.ctr").write_bytes(b"%d" % month * 5000)
    now = epoch("2026-12-10 00:00:00")
    assert compress_one(tmp_path, now, TZ) == tmp_path / "2026-10" / f"{hours[10]}-w.ctr.gz"
    made = compress_one(tmp_path, now, TZ)
    assert made == tmp_path / "2026-11" / f"{hours[11]}-w.ctr.gz"
    assert gzip.decompress(made.read_bytes()) == b"11" * 5000
    assert compress_one(tmp_path, now, TZ) is None
    assert [path.name for path in tmp_path.glob("*.ctr")] == [f"{hours[12]}-w.ctr"], "an open month's is as it was"


def test_no_archive_is_nothing_to_do(tmp_path: Path) -> None:
    assert compress_one(tmp_path / "none", datetime(2026, 1, 1, tzinfo=UTC).timestamp(), TZ) is None
