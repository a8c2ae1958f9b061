"""RULES A.5, B47 to B53: what happens when nobody pays."""

import pytest

from tests.billing.rules.bill import kinds, lines, steps
from tests.billing.world import GIB, World, account_of, act, at, pack, payg, simulate, top_up, use

# Owes 0.20 from 1 February, 11:00 local (03:00Z) on.
OWES = [top_up("2024-02-01 10:00", "1.00"), use("2024-02-01 10:10", out_client=10 * GIB)]


@pytest.mark.parametrize(("cash", "state"), [("1.20", "active"), ("1.20000001", "active"), ("1.19999999", "arrears")])
def test_b47_arrears_are_a_total_below_zero(cash: str, state: str) -> None:
    events = [top_up("2024-02-01 10:00", cash), use("2024-02-01 10:10", out_client=10 * GIB)]
    assert account_of(*events, until="2024-02-01 11:00")["state"] == state


def test_b47_the_total_includes_what_is_held() -> None:
    """0.36 is held; 0.30 of traffic leaves 0.06 − … covered by what was held: no arrears."""
    document = account_of(
        top_up("2024-02-01 10:00", "0.40"),
        payg("2024-02-01 10:59:50"),  # 10 s cost 0.001
        use("2024-02-01 10:59:50", out_client=3 * GIB),  # 0.36
        until="2024-02-01 11:00",
    )
    assert document["state"] == "active"
    assert (document["wallet"]["cash"], document["wallet"]["held"]) == ("0.00000000", "0.03900000")


def test_b48_it_goes_on_for_24_hours_inclusive() -> None:
    output = simulate(*OWES, use("2024-02-02 11:00:00", calls=1), until="2024-02-02 11:00:00")
    assert output["refused"] == []
    assert output["accounts"]["a"]["state"] == "arrears"


def test_b49_then_it_is_suspended_with_one_notification_for_each_step() -> None:
    output = simulate(*OWES, use("2024-02-02 11:00:02", calls=1), until="2024-02-03 00:00")
    assert output["refused"] == [{"event": 2, "reason": "suspended"}]
    document = output["accounts"]["a"]
    assert kinds(document) == [("arrears", "2024-02-01T03:00:00Z"), ("suspended", "2024-02-02T03:00:01Z")]


def test_b50_it_resumes_by_itself_once_nothing_is_owed() -> None:
    document = account_of(
        *OWES,
        top_up("2024-02-09 10:00", "0.19999999"),
        top_up("2024-02-09 11:00:01", "0.00000001"),  # the last second of the seven days
        use("2024-02-09 11:00:01", calls=1),
        until="2024-02-09 11:30",
    )
    assert steps(document)[-1] == ("active", "2024-02-09T03:00:01Z")
    assert kinds(document)[-1][0] == "resumed"


def test_b51_after_seven_days_it_is_destroyed() -> None:
    output = simulate(
        *OWES,
        top_up("2024-02-09 11:00:03", "0.19999999"),  # all but the last of what is owed
        use("2024-02-09 11:00:03", calls=1),
        pack("2024-02-09 11:00:03"),
        act("2024-02-09 11:00:03", "refund_pack", "p1"),
        until="2024-02-10 00:00",
    )
    document = output["accounts"]["a"]
    assert steps(document)[-1] == ("destroyed", "2024-02-09T03:00:02Z")
    assert [one["reason"] for one in output["refused"]] == ["destroyed", "destroyed", "not_found"]
    assert document["wallet"]["cash"] == "-0.00000001"


def test_b52_bills_are_lists_of_hourly_lines_by_month() -> None:
    document = account_of(
        top_up("2024-01-31 00:00", "10.00"),
        use("2024-01-31 22:10", calls=10_000),
        use("2024-01-31 23:10", calls=10_000),
        use("2024-02-01 00:10", calls=10_000),
        until="2024-02-02 00:00",
    )
    assert lines(document, "2024-01", "hour") == [("2024-01-31T14:00:00Z",), ("2024-01-31T15:00:00Z",)]
    assert lines(document, "2024-02", "hour") == [("2024-01-31T16:00:00Z",)]
    world = World(cash=10)
    world.count("2024-01-31 23:10", 5)
    world.count("2024-02-01 00:10", 6)
    world.settle("2024-02-02 00:00")
    assert [line["quantity"] for line in world.billing.bill_lines("a", "2024-02")] == [6]
    assert list(world.billing.bill("a", "2024-01")["bills"]) == ["2024-01"]


def test_b53_an_alert_once_a_local_day_by_the_accounts_own_threshold() -> None:
    document = account_of(
        top_up("2024-02-01 10:00", "6.00"),
        use("2024-02-01 10:10", out_client=9 * GIB),  # 1.08: 4.92 is left
        use("2024-02-01 11:10", out_client=GIB),
        top_up("2024-02-02 09:00", "1.00"),
        until="2024-02-04 00:00",
        alert_below="5.00",
    )
    assert kinds(document) == [("balance_alert", "2024-02-01T03:00:00Z"), ("balance_alert", "2024-02-01T16:00:00Z")]


def test_b53_no_threshold_no_alert() -> None:
    assert account_of(top_up("2024-02-01 10:00", "0.01"), until="2024-02-04 00:00")["notifications"] == []


def test_b53_the_threshold_is_held_against_what_is_available_not_what_is_held() -> None:
    document = account_of(
        top_up("2024-02-01 10:00", "5.30"),
        payg("2024-02-01 10:00"),  # 0.36 held: 4.94 available
        until="2024-02-01 10:30",
        alert_below="5.00",
    )
    assert kinds(document) == [("balance_alert", "2024-02-01T02:00:00Z")]


def test_b53_a_threshold_may_be_set_at_any_time() -> None:
    world = World(cash=1)
    world.billing.set_alert("a", 2 * 10**8, at("2024-02-01 10:00"))
    world.settle("2024-02-02 00:00:00")
    at_once, at_midnight = "2024-02-01T02:00:00Z", "2024-02-01T16:00:00Z"
    assert kinds(world.document()) == [("balance_alert", at_once), ("balance_alert", at_midnight)]
