from datetime import date

import pytest

from billing.calendar import LocalCalendar, hour_of, hour_start, next_full_hour
from metering.local_months import months_after
from tests.billing.world import at

SHANGHAI = LocalCalendar("Asia/Shanghai")


@pytest.mark.parametrize(
    ("anchor", "months", "day"),
    [
        pytest.param(date(2024, 1, 31), 1, date(2024, 2, 29), id="clipped in a leap year"),
        pytest.param(date(2023, 1, 31), 1, date(2023, 2, 28), id="clipped"),
        pytest.param(date(2024, 1, 31), 2, date(2024, 3, 31), id="from the anchor, not from the clipped day (X3)"),
        pytest.param(date(2024, 11, 30), 3, date(2025, 2, 28), id="over the year's end"),
        pytest.param(date(2024, 12, 5), 12, date(2025, 12, 5), id="a year"),
    ],
)
def test_months_are_clipped_from_the_anchor(anchor: date, months: int, day: date) -> None:
    assert months_after(anchor, months) == day


@pytest.mark.parametrize(
    ("instant", "month"),
    [("2024-01-31 23:59:59", "2024-01"), ("2024-02-01 00:00:00", "2024-02")],
)
def test_months_begin_at_local_midnight(instant: str, month: str) -> None:
    assert SHANGHAI.month_of(at(instant)) == month
    assert SHANGHAI.month_of_hour(hour_of(at(instant))) == month


def test_a_bill_closes_on_the_third_at_local_midnight() -> None:
    assert SHANGHAI.month_closes_at("2024-12") == at("2025-01-03 00:00")


def test_months_later_keep_the_time_of_day() -> None:
    assert SHANGHAI.plus_months(at("2024-01-31 10:20:30"), 1) == at("2024-02-29 10:20:30")


def test_an_hour_is_half_open() -> None:
    start = at("2024-02-10 10:00")
    assert hour_of(start) == hour_of(start + 3599) == hour_of(start - 1) + 1
    assert hour_start(hour_of(start + 5)) == start
    assert (next_full_hour(start), next_full_hour(start + 1)) == (hour_of(start), hour_of(start) + 1)


def test_the_next_midnight_is_after_the_instant() -> None:
    assert SHANGHAI.next_midnight(at("2024-02-10 00:00")) == at("2024-02-11 00:00")
