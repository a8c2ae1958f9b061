from itertools import pairwise

import pytest

from billing.calendar import LocalCalendar, hour_of
from billing.grants import grant_id, grant_periods
from tests.billing.world import at

SHANGHAI = LocalCalendar("Asia/Shanghai")


@pytest.mark.parametrize("activated", ["2019-11-10 17:13:14", "2024-01-31 00:00", "2023-02-28 23:59:59"])
def test_twelve_periods_follow_each_other_without_gap(activated: str) -> None:
    periods = grant_periods(at(activated), SHANGHAI)
    assert [period.number for period in periods] == list(range(1, 13))
    assert all(before.to_hour == after.from_hour for before, after in pairwise(periods))
    assert periods[0].from_hour == hour_of(at(activated))


def test_the_last_period_ends_with_the_anniversary_not_before_it() -> None:
    assert grant_periods(at("2019-11-10 17:13:14"), SHANGHAI)[-1].to_hour == hour_of(at("2020-11-11 00:00"))


def test_grants_are_numbered_from_one() -> None:
    assert grant_id("calls", 1) == "free-calls-1"
