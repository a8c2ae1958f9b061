"""The hour that two local months share is of one of them, whoever asks (B22, X27): zones that are half an hour off."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from billing.calendar import LocalCalendar, hour_of
from billing.grants import grant_periods
from billing.scenario import parse_scenario
from billing.simulation import run
from config.errors import ConfigError
from gateway.limits.period import period_at
from metering.local_months import months_after
from metering.usage import usage_rows
from tests.billing.world import World, count_rows

# Half past the local midnight that ends November; before and after it is one usage hour.
SHARED = [
    pytest.param("Asia/Kolkata", "2024-12-01T00:15:00+05:30", id="India"),
    pytest.param("Asia/Kathmandu", "2024-12-01T00:15:00+05:45", id="Nepal"),
    pytest.param("America/St_Johns", "2024-12-01T00:15:00-03:30", id="Newfoundland"),
    pytest.param("Australia/Lord_Howe", "2024-07-01T00:15:00+10:30", id="Lord Howe in winter"),
]


def instant(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize("zone, text", SHARED)
def test_bill_usage_and_all_that_is_told_agree_on_the_month_of_an_hour(zone: str, text: str) -> None:
    at = instant(text)
    hour, calendar = hour_of(at), LocalCalendar(zone)
    old, new = calendar.month_of_hour(hour), calendar.month_of_hour(hour + 1)
    assert (old, new) in (("2024-11", "2024-12"), ("2024-06", "2024-07"))
    world = World(timezone=zone, cash=100)
    billing = world.billing
    count_rows(world.engine, hour, {"calls": 11_000_000})
    billing.settle((hour + 1) * 3600, lambda hour: True)
    billing.top_up("a", cash=10**8, now=at)
    billing.buy_pack("a", "p", meter="egress", quantity=10, months=1, price=10**8, now=at)
    count_rows(world.engine, hour + 1, {"calls": 10_000})
    billing.settle((hour + 2) * 3600, lambda hour: True)

    bills = billing.account("a")["bills"]
    assert {month: bill["total"] for month, bill in bills.items()} == {old: "9.49000000", new: "0.00890000"}
    for month, calls in ((old, 11_000_000), (new, 10_000)):
        assert sum(row["calls"] for row in usage_rows(world.engine, month=month, tz=zone)) == calls
        statement = billing.statement("a", month)
        assert sum(charge["quantity"] for charge in statement["charges"]) == calls
        assert statement["tier"]["paid_calls"] == calls
        assert billing.what_if("a", month)["actual"] == bills[month]["total"]
        for line in billing.bill_lines("a", month):
            assert billing.explain(line["id"])["month"]["month"] == month
        rows = billing.focus("a", month)
        assert sum(int(row["ConsumedQuantity"] or 0) for row in rows) == calls
        for row in rows:
            assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["ChargePeriodEnd"]
            # A pack is bought for longer than its month.
            assert row["ChargePeriodEnd"] <= row["BillingPeriodEnd"] or row["ChargeCategory"] == "Purchase"
    # What was bought in the shared hour is of the same month.
    assert [len(billing.statement("a", month)["orders"]) for month in (old, new)] == [1, 0]
    # And a key's monthly quota ends with the bill's month.
    assert period_at(at, "month", zone).end_s == (hour + 1) * 3600


@pytest.mark.parametrize("zone, text", SHARED)
def test_a_free_period_begins_with_the_first_hour_of_its_day(zone: str, text: str) -> None:
    """And none ends before its day does (B18)."""
    calendar = LocalCalendar(zone)
    day = calendar.day_of(instant(text))
    first, *others = grant_periods(instant(text), calendar)
    assert first.from_hour == hour_of(instant(text))
    ends = [(period.to_hour, months_after(day, period.number)) for period in (first, *others)]
    ends[-1] = (others[-1].to_hour, months_after(day, 12) + timedelta(days=1))
    for hour, local_day in ends:
        assert calendar.day_of(hour * 3600) == local_day
        assert calendar.day_of((hour - 1) * 3600) < local_day
    assert [period.from_hour for period in others] == [hour for hour, _ in ends[:-1]]


def _scenario(zone: object) -> dict[str, Any]:
    account = {"id": "a", "currency": "USD", "activated_at": "2024-01-01T00:00:00Z", "free_quota": False}
    return {
        "timezone": zone,
        "accounts": [account],
        "instances": [{"id": "s", "account": "a", "type": "shared", "region": "ap-mumbai"}],
        "events": [{"at": "2024-11-30T18:45:00Z", "do": "usage", "instance": "s", "calls": 10_000}],
        "until": "2024-12-01T00:00:00Z",
    }


def test_a_scenario_says_its_time_zone() -> None:
    output = run(parse_scenario(_scenario("Asia/Kolkata"), Path()))
    assert list(output["accounts"]["a"]["bills"]) == ["2024-11"]
    assert list(run(parse_scenario(_scenario("Asia/Shanghai"), Path()))["accounts"]["a"]["bills"]) == ["2024-12"]
    for wrong in ("Mars/Olympus", 5, None, ""):
        with pytest.raises(ConfigError) as error:
            parse_scenario(_scenario(wrong), Path())
        assert [fault.path for fault in error.value.faults] == ["timezone"]
