"""One function says which month an hour is of, also where no hour begins at midnight."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise

import pytest

from metering.clock import HOUR_S, hour_of, hour_start
from metering.local_months import LocalMonths, local_months, months_after

ZONES = (
    *("Asia/Shanghai", "UTC", "America/New_York", "Pacific/Kiritimati"),  # whole hours
    *("Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns", "Pacific/Chatham", "Australia/Lord_Howe"),
    *("America/Havana", "Africa/Cairo", "America/Sao_Paulo", "Pacific/Apia"),  # changes at midnight, and a lost day
)


def hour(text: str) -> int:
    return hour_of(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    "zone, text, month",
    [
        pytest.param("Asia/Shanghai", "2026-11-30T23:59:59+08:00", "2026-11", id="whole hours"),
        pytest.param("Asia/Shanghai", "2026-12-01T00:00:00+08:00", "2026-12", id="whole hours, the next"),
        pytest.param("Asia/Kolkata", "2026-12-01T00:15:00+05:30", "2026-11", id="India"),
        pytest.param("Asia/Kolkata", "2026-12-01T00:30:00+05:30", "2026-12", id="India, the next"),
        pytest.param("Asia/Kathmandu", "2026-12-01T00:44:59+05:45", "2026-11", id="Nepal"),
        pytest.param("Asia/Kathmandu", "2026-12-01T00:45:00+05:45", "2026-12", id="Nepal, the next"),
        pytest.param("America/St_Johns", "2026-12-01T00:29:00-03:30", "2026-11", id="Newfoundland"),
        pytest.param("Australia/Lord_Howe", "2026-07-01T00:29:00+10:30", "2026-06", id="Lord Howe in winter"),
        pytest.param("Australia/Lord_Howe", "2026-12-01T00:00:00+11:00", "2026-12", id="Lord Howe in summer"),
        pytest.param("America/St_Johns", "2009-11-01T00:00:30-02:30", "2009-10", id="set back a minute past midnight"),
    ],
)
def test_an_hour_is_of_the_month_in_which_it_begins(zone: str, text: str, month: str) -> None:
    months = LocalMonths(zone)
    assert months.month_of_hour(hour(text)) == month
    assert months.month_of(datetime.fromisoformat(text).timestamp()) == month


@pytest.mark.parametrize("zone", ZONES)
def test_every_hour_is_of_one_month_and_of_its_hours(zone: str) -> None:
    """Both ways, at each turn of a month from 2000 to 2040, and around it."""
    months = local_months(zone)
    first = date(2000, 1, 1)
    for number in range(40 * 12):
        month, following = (f"{day:%Y-%m}" for day in (months_after(first, number), months_after(first, number + 1)))
        begins, ends = months.month_hours(month)
        assert months.month_hours(following)[0] == ends
        around = {months.month_of_hour(ends + step): step for step in range(-30, 30)}
        assert around == {month: -1, following: 29}
        assert months.month_of(hour_start(ends) - 1) == month
        assert {months.month_of_hour(begins), months.month_of_hour(ends - 1)} == {month}


@pytest.mark.parametrize("zone", ZONES)
def test_days_go_from_midnight_to_midnight_and_leave_nothing_out(zone: str) -> None:
    months = local_months(zone)
    instants = [months.midnight(date.fromordinal(day)) for day in range(date(2009, 1, 1).toordinal(), 735_000)]
    lengths_s = {ends - begins for begins, ends in pairwise(instants)}
    assert lengths_s <= {hours * HOUR_S // 2 for hours in (0, 46, 47, 48, 49, 50)}


def test_a_midnight_that_never_comes_is_the_end_of_its_gap() -> None:
    """In São Paulo clocks went from 23:59:59 to 01:00."""
    midnight = local_months("America/Sao_Paulo").midnight(date(2018, 11, 4))
    assert datetime.fromtimestamp(midnight, UTC) == datetime(2018, 11, 4, 3, tzinfo=UTC)


def test_a_month_closes_at_the_third_midnight() -> None:
    closes_at = local_months("Asia/Kolkata").month_closes_at("2026-11")
    assert closes_at == datetime.fromisoformat("2026-12-03T00:00:00+05:30").timestamp()
