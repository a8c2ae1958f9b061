"""Quotas: exact over processes, kept over restarts, by the node's clock in the billing time zone."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, date, datetime
from math import ceil
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.limits.period import period_at
from gateway.limits.quota import Quota, QuotaLimitSet
from gateway.limits.quota_table import HEADER_BYTES, MAGIC, QUOTAS, QuotaTable, QuotaTableError
from gateway.limits.table import LimitTable
from metering.clock import VirtualClock
from tests.gateway.limits.contract import SECOND, make_limit
from tests.node import ROOT

SHANGHAI = "Asia/Shanghai"


def at(text: str) -> VirtualClock:
    """A clock that shows this instant, give or take the test's own time."""
    return VirtualClock(1.0, time.time(), datetime.fromisoformat(text).timestamp())


def make_quota(
    path: Path, calls: int, per: str = "day", now: str = "2026-03-31T12:00:00+08:00", slot: int = 0
) -> Quota:
    return Quota(QuotaTable(path), slot, calls, per, "k", timezone="Asia/Shanghai", clock=at(now))


@pytest.mark.parametrize(
    "now, per, begin, end",
    [
        ("2026-03-31T15:59:59+00:00", "day", "2026-03-31T00:00:00+08:00", "2026-04-01T00:00:00+08:00"),
        ("2026-03-31T16:00:00+00:00", "day", "2026-04-01T00:00:00+08:00", "2026-04-02T00:00:00+08:00"),
        ("2026-12-31T15:59:59+00:00", "month", "2026-12-01T00:00:00+08:00", "2027-01-01T00:00:00+08:00"),
        ("2026-12-31T16:00:00+00:00", "month", "2027-01-01T00:00:00+08:00", "2027-02-01T00:00:00+08:00"),
    ],
)
def test_days_and_months_are_local(now: str, per: str, begin: str, end: str) -> None:
    period = period_at(datetime.fromisoformat(now).timestamp(), per, SHANGHAI)
    assert period.begin_s == datetime.fromisoformat(begin).timestamp()
    assert period.end_s == datetime.fromisoformat(end).timestamp()
    assert period_at(period.end_s, per, SHANGHAI).number == period.number + 1


def test_a_month_is_the_bills_and_a_day_the_calendars() -> None:
    """In Kolkata the last hour of November goes on for half an hour of December (see metering/local_months.py)."""
    half_past = datetime.fromisoformat("2026-12-01T00:15:00+05:30").timestamp()
    month, day = period_at(half_past, "month", "Asia/Kolkata"), period_at(half_past, "day", "Asia/Kolkata")
    assert month.number == 2026 * 12 + 11
    assert month.end_s == datetime.fromisoformat("2026-12-01T00:30:00+05:30").timestamp()
    assert day.begin_s == datetime.fromisoformat("2026-12-01T00:00:00+05:30").timestamp()


def test_a_day_of_a_clock_change_has_its_own_length() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    period = period_at(datetime(2026, 3, 29, 12, tzinfo=berlin).timestamp(), "day", "Europe/Berlin")
    assert period.end_s - period.begin_s == 23 * 3600


@pytest.mark.parametrize(
    "per, next_period", [("day", "2026-04-01T00:00:00+08:00"), ("month", "2026-04-01T00:00:00+08:00")]
)
def test_the_count_begins_anew_with_the_period_and_outlives_the_process(
    tmp_path: Path, per: str, next_period: str
) -> None:
    path = tmp_path / "q"
    first = QuotaLimitSet((), make_quota(path, 3, per))
    assert [first.admit(SECOND) is None for _ in range(5)] == [True] * 3 + [False] * 2
    again = make_quota(path, 3, per)
    assert again.used() == 3, "of another handle, as after a restart"
    assert QuotaLimitSet((), again).admit(SECOND) is again
    later = make_quota(path, 3, per, "2026-04-01T00:00:00+08:00")
    assert later.used() == 0
    assert QuotaLimitSet((), later).admit(SECOND) is None
    assert later.used() == 1


def test_a_clock_that_steps_back_over_midnight_gives_nothing_again(tmp_path: Path) -> None:
    path = tmp_path / "q"
    after = QuotaLimitSet((), make_quota(path, 2, now="2026-04-01T00:00:01+08:00"))
    assert [after.admit(SECOND) is None for _ in range(3)] == [True, True, False]
    before = make_quota(path, 2, now="2026-03-31T23:59:58+08:00")
    assert QuotaLimitSet((), before).admit(SECOND) is before
    much_before = make_quota(path, 2, now="2026-02-01T00:00:00+08:00")
    assert QuotaLimitSet((), much_before).admit(SECOND) is None, "a clock that was far ahead is not believed for years"


def test_a_changed_number_or_period_counts_what_was_used(tmp_path: Path) -> None:
    """Day, month, and day again: neither the day's calls nor the month's are given twice."""
    path = tmp_path / "q"
    one = QuotaLimitSet((), make_quota(path, 5))
    assert [one.admit(SECOND) for _ in range(4)] == [None] * 4
    assert make_quota(path, 3).used() == 4
    assert QuotaLimitSet((), make_quota(path, 3)).admit(SECOND) is not None
    monthly = QuotaLimitSet((), make_quota(path, 5, "month"))
    assert [monthly.admit(SECOND) is None for _ in range(3)] == [True, False, False]
    again = make_quota(path, 6)
    assert again.used() == 5
    assert [QuotaLimitSet((), again).admit(SECOND) is None for _ in range(3)] == [True, False, False]
    assert make_quota(path, 5, "month").used() == 6
    tomorrow = make_quota(path, 5, "day", "2026-04-01T12:00:00+08:00")
    assert (tomorrow.used(), make_quota(path, 9, "month", "2026-04-01T12:00:00+08:00").used()) == (0, 0)
    assert make_quota(path, 9, "month", "2026-03-30T12:00:00+08:00").used() == 6, "of the month, on any of its days"


def test_a_table_of_the_version_before_keeps_its_day_or_its_month(tmp_path: Path) -> None:
    """It had one word for both kinds, and ends where the months' words begin."""
    path, march, today = tmp_path / "q", 2026 * 12 + 3, date(2026, 3, 31).toordinal()
    path.write_bytes(MAGIC + (1).to_bytes(8, "little"))
    with path.open("r+b") as file:
        file.truncate(HEADER_BYTES + QUOTAS * 8)
        file.seek(HEADER_BYTES)
        file.write(((1 << 22 | march) << 40 | 7).to_bytes(8, "little"))
        file.write((today << 40 | 9).to_bytes(8, "little"))
    monthly, daily = make_quota(path, 8, "month"), make_quota(path, 10, "day", slot=1)
    assert (monthly.used(), daily.used()) == (7, 9)
    assert [QuotaLimitSet((), monthly).admit(SECOND) is None for _ in range(2)] == [True, False]
    assert [QuotaLimitSet((), daily).admit(SECOND) is None for _ in range(2)] == [True, False]


def test_a_slot_for_a_new_quota_has_nothing_used_of_either_kind(tmp_path: Path) -> None:
    used = make_quota(tmp_path / "q", 5)
    QuotaLimitSet((), used).admit(SECOND)
    used.table.reset(0)
    assert [make_quota(tmp_path / "q", 5, per).used() for per in ("day", "month")] == [0, 0]


def test_limits_and_quota_are_taken_together_or_not_at_all(tmp_path: Path) -> None:
    LimitTable.create(tmp_path / "t").close()
    limit, quota = make_limit(tmp_path / "t", 0, 1, "key"), make_quota(tmp_path / "q", 3)
    both = QuotaLimitSet((limit,), quota)
    assert [getattr(both.admit(SECOND), "level", None) for _ in range(4)] == [None, None, "key", "key"]
    assert quota.used() == 2, "what the limit refused is not counted"
    assert both.admit(10 * SECOND) is None
    tat = limit.table.words[0]
    refused = both.admit(20 * SECOND)
    assert refused is quota
    assert limit.table.words[0] == tat, "what the quota refused takes nothing of the limit"


def test_the_fields_show_quota_and_limits_and_what_has_the_least_left(tmp_path: Path) -> None:
    LimitTable.create(tmp_path / "t").close()
    limit, quota = make_limit(tmp_path / "t", 0, 50, "key"), make_quota(tmp_path / "q", 100)
    both = QuotaLimitSet((limit,), quota)
    both.admit(SECOND)
    policy = b'RateLimit-Policy: "key";q=50;w=1, "quota";q=100;w=86400\r\n'
    assert both.fields(SECOND) == policy + b'RateLimit: "key";r=5;t=1\r\n'
    for _ in range(98):
        quota.count()
    assert both.fields(SECOND).startswith(policy + b'RateLimit: "quota";r=1;t=43')
    alone = QuotaLimitSet((), quota).fields(SECOND)
    assert alone.startswith(b'RateLimit-Policy: "quota";q=100;w=86400\r\nRateLimit: "quota";r=1;t=43')
    assert 42_000 * SECOND < quota.wait_ns(0) <= 43_200 * SECOND


def told(fields: bytes) -> tuple[int, int]:
    """The seconds of `Retry-After`, and those of `RateLimit`."""
    after = fields.partition(b"Retry-After: ")[2].partition(b"\r\n")[0]
    rate = fields.partition(b"RateLimit: ")[2].partition(b";t=")[2].partition(b"\r\n")[0]
    return int(after), int(rate)


@pytest.mark.parametrize(
    "now", ["2026-03-31T23:59:58.6+08:00", "2026-03-31T23:59:59.4+08:00", "2026-03-31T12:00:00.3+08:00"]
)
def test_who_waits_as_long_as_the_fields_say_is_admitted(tmp_path: Path, now: str) -> None:
    """Rounded up, both alike, whichever of limit and quota has refused."""
    LimitTable.create(tmp_path / "t").close()
    quota = make_quota(tmp_path / "q", 2, now=now)
    both = QuotaLimitSet((make_limit(tmp_path / "t", 0, 1, "key"),), quota)
    assert [both.admit(SECOND) for _ in range(2)] == [None, None]
    refused = both.admit(SECOND)
    assert refused is quota, "both have nothing left"
    after_s, rate_s = told(both.refusal_fields(refused, SECOND))
    assert after_s == rate_s == ceil(quota.ends_in_s())
    assert b'RateLimit: "quota";r=0' in both.fields(SECOND), "of two with nothing left, what is waited for longer"
    began_s = datetime.fromisoformat(now).timestamp()
    later = datetime.fromtimestamp(began_s + after_s, UTC).isoformat()
    again = make_quota(tmp_path / "q", 2, now=later)
    assert QuotaLimitSet((make_limit(tmp_path / "t", 0, 1, "key"),), again).admit((1 + after_s) * SECOND) is None


def test_after_the_clock_stepped_back_the_wait_is_for_the_period_that_is_counted_in(tmp_path: Path) -> None:
    path = tmp_path / "q"
    after = QuotaLimitSet((), make_quota(path, 1, now="2026-04-01T00:00:01+08:00"))
    assert after.admit(SECOND) is None
    before = make_quota(path, 1, now="2026-03-31T23:59:58+08:00")
    assert QuotaLimitSet((), before).admit(SECOND) is before
    assert 86_400 < before.wait_s(SECOND) <= 86_402


def test_a_foreign_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "q"
    path.write_bytes(b"something else")
    with pytest.raises(QuotaTableError, match="not a table"):
        QuotaTable(path)
    assert path.read_bytes() == b"something else"


CROWD = """
import sys, time
from pathlib import Path
from gateway.limits.quota import Quota, QuotaLimitSet
from gateway.limits.quota_table import QuotaTable
from metering.clock import VirtualClock
clock = VirtualClock(1.0, time.time(), 1_800_000_000.0)
one = QuotaLimitSet((), Quota(QuotaTable(Path(sys.argv[1])), 3, 5000, "month", "k", timezone="UTC", clock=clock))
print("ready", flush=True)
sys.stdin.readline()
count = 0
while one.admit(0) is None:
    count += 1
    print(count, flush=True)
"""


def test_the_last_call_is_given_once_over_processes_one_of_which_is_killed(tmp_path: Path) -> None:
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", CROWD, str(tmp_path / "q")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(3)
    ]
    for child in crowd:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in crowd:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    assert crowd[0].stdout is not None
    seen = [int(crowd[0].stdout.readline()) for _ in range(50)][-1]
    crowd[0].kill()
    told = []
    for child in crowd:
        with child:  # Ends its pipes, and waits for it.
            told.append([0, *map(int, (child.stdout or sys.stdin).read().split())])
    admitted = max(seen, *told[0]) + sum(max(counts) for counts in told[1:])
    assert 5000 - 1 <= admitted <= 5000, "the killed one may have counted a call that it never told of"
