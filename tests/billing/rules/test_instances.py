"""RULES A.5, B40 to B46: dedicated instances, bought, released, given back. The amounts are worked out by hand."""

from pathlib import Path

import pytest

from billing.scenario import parse_scenario
from billing.simulation import run
from tests.billing.rules.bill import by_id, lines
from tests.billing.world import account_of, act, payg, prepaid, simulate, states, top_up, use

RICH = top_up("2024-02-01 00:00", "1000.00")


def test_b40_prepaid_months_are_paid_at_once_or_nothing_happens() -> None:
    document = account_of(RICH, prepaid("2024-02-01 10:00", months=3, price="300.00"), until="2024-02-02 00:00")
    assert document["wallet"]["cash"] == "100.00000000"
    assert document["bills"] == {}
    poor = simulate(RICH, prepaid("2024-02-01 10:00", months=4, price="300.00"), until="2024-02-02 00:00")
    assert poor["refused"] == [{"event": 1, "reason": "insufficient_funds"}]
    account = poor["accounts"]["a"]
    assert (account["wallet"]["cash"], account["orders"]) == ("1000.00000000", [])
    assert states(account["instances"]) == {"s1": "active"}


def test_b41_an_hour_is_held_and_each_hour_is_charged_by_the_second() -> None:
    document = account_of(
        top_up("2024-02-01 00:00", "1.00"), payg("2024-02-01 17:13:14", price="0.00013889"), until="2024-02-01 18:59:59"
    )
    assert lines(document, "2024-02", "hour", "cover", "quantity", "unit_price", "per", "amount") == [
        ("2024-02-01T09:00:00Z", "instance", 2806, "0.00013889", 1, "0.38972534"),
    ]
    # 1 − 0.38972534 is 0.61027466, of which 0.500004 is held.
    assert (document["wallet"]["held"], document["wallet"]["cash"]) == ("0.50000400", "0.11027066")


def test_b42_fees_end_with_the_release_and_the_hold_comes_back() -> None:
    events = [RICH, payg("2024-02-01 10:00"), act("2024-02-01 10:00:10", "release_instance")]
    at_once = account_of(*events, until="2024-02-01 10:00:10")
    assert at_once["wallet"] == {
        "cash": "1000.00000000", "income": "0.00000000", "gift": "0.00000000", "held": "0.00000000",
    }  # fmt: skip
    later = account_of(*events, until="2024-02-05 00:00")
    assert lines(later, "2024-02", "quantity", "amount") == [(10, "0.00100000")]
    instance = by_id(later["instances"])["d1"]
    assert (instance["state"], instance["ended_at"]) == ("released", "2024-02-01T02:00:10Z")


@pytest.mark.parametrize(
    ("at", "amount"),
    [
        ("2024-02-06 23:59:59", "-300.00000000"),  # 1 February + 5 days, to the end of that day
        ("2024-02-07 00:00:00", "-237.93103448"),  # 6 of 29 started days: 300 × 23/29 = 237.931034482…
    ],
)
def test_b43_five_days_after_the_day_of_purchase_all_money_comes_back(at: str, amount: str) -> None:
    document = account_of(RICH, prepaid("2024-02-01 10:00"), act(at, "refund_instance"), until="2024-02-08 00:00")
    assert document["orders"][-1]["list"] == amount


def test_b43_once_for_a_legal_entity_whichever_account_it_was() -> None:
    bought = {"do": "buy_instance", "spec": "dedicated-2500", "region": "ap-guangzhou", "charge": "prepaid",
              "months": 1, "price": "290.00", "at": "2024-02-01T00:00:00+08:00"}  # fmt: skip
    refund = {"do": "refund_instance", "at": "2024-02-02T00:00:00+08:00"}
    accounts = [("a", "e1"), ("b", "e1"), ("c", "e2")]
    document = {
        "accounts": [
            {"id": id, "entity": entity, "currency": "USD", "activated_at": "2024-01-01T00:00:00+08:00"}
            for id, entity in accounts
        ],
        "events": [
            {"at": "2024-02-01T00:00:00+08:00", "do": "top_up", "account": id, "cash": "290.00"} for id, _ in accounts
        ]
        + [{**bought, "account": id, "id": f"d{id}"} for id, _ in accounts]
        + [{**refund, "id": f"d{id}"} for id, _ in accounts],
        "until": "2024-02-03T00:00:00+08:00",
    }
    output = run(parse_scenario(document, Path()))
    assert output["refused"] == []
    assert [output["accounts"][id]["wallet"]["cash"] for id, _ in accounts] == [
        "290.00000000", "280.00000000", "290.00000000",
    ]  # fmt: skip


def test_b44_else_pro_rata_by_time_and_never_below_nothing() -> None:
    """G15's case, and one where more was used than was paid: 30/29 of a month's 290 at most 290, voucher 200."""
    document = account_of(
        top_up("2024-02-01 00:00", "290.00"),
        {"at": "2024-02-01 00:00", "do": "voucher", "account": "a", "id": "v", "amount": "200.00",
         "expires_at": "2024-03-01 00:00"},
        prepaid("2024-02-01 00:00", price="290.00"),
        act("2024-02-20 00:00", "refund_instance"),
        until="2024-02-21 00:00",
    )  # fmt: skip
    # Paid 90 in cash; 19 of 29 days used: 190 of 290. 90 − 190 < 0.
    assert document["orders"][-1]["list"] == "0.00000000"
    assert document["wallet"]["cash"] == "200.00000000"
    assert states(document["instances"])["d1"] == "isolated"


def test_b45_refunds_go_to_the_wallet_and_vouchers_never_do() -> None:
    document = account_of(
        top_up("2024-02-01 00:00", "100.00", gift="150.00"),
        {"at": "2024-02-01 00:00", "do": "voucher", "account": "a", "id": "v", "amount": "50.00",
         "expires_at": "2024-03-01 00:00"},
        prepaid("2024-02-01 00:00", price="300.00"),
        act("2024-02-02 00:00", "refund_instance"),
        until="2024-02-02 00:00",
    )  # fmt: skip
    assert (document["wallet"]["cash"], document["wallet"]["gift"]) == ("100.00000000", "150.00000000")
    assert document["vouchers"][0]["left"] == "0.00000000"


@pytest.mark.parametrize(
    ("until", "state"),
    [("2024-02-10 12:00:00", "isolated"), ("2024-02-17 12:00:00", "isolated"), ("2024-02-17 12:00:01", "destroyed")],
)
def test_b46_a_refunded_instance_is_isolated_for_seven_days_and_then_destroyed(until: str, state: str) -> None:
    document = account_of(RICH, prepaid("2024-02-01 10:00"), act("2024-02-10 12:00:00", "refund_instance"), until=until)
    instance = by_id(document["instances"])["d1"]
    assert (instance["state"], instance["ended_at"]) == (state, "2024-02-10T04:00:00Z")


def test_b46_it_has_no_traffic_meanwhile() -> None:
    output = simulate(
        RICH,
        prepaid("2024-02-01 10:00"),
        act("2024-02-10 12:00:00", "refund_instance"),
        use("2024-02-10 12:00:00", "d1", calls=1),
        act("2024-02-11 12:00:00", "refund_instance"),
        use("2024-02-20 12:00:00", "d1", calls=1),
        until="2024-02-21 00:00",
    )
    assert [(one["event"], one["reason"]) for one in output["refused"]] == [
        (3, "not_active"), (4, "not_active"), (5, "not_active"),
    ]  # fmt: skip
