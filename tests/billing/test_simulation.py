"""What the rules say happens, as scenarios; numbers are worked out by hand."""

from typing import Any

import pytest

from config.errors import ConfigError
from tests.billing.world import GIB, account_of, act, pack, payg, prepaid, simulate, states, top_up, use

START = top_up("2024-02-01 00:00", "1000.00")


def refused(*events: dict[str, Any], until: str = "2024-04-01 00:00", **account: Any) -> list[tuple[int, str]]:
    output = simulate(*events, until=until, **account)
    return [(item["event"], item["reason"]) for item in output["refused"]]


def in_arrears(then: str = "2024-02-02 00:00") -> list[dict[str, Any]]:
    """Ten e8 in debt from 02-01 11:00."""
    return [top_up("2024-02-01 10:00", "0.00000079"), use("2024-02-01 10:10", calls=1)]


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([START, pack("2024-02-02 00:00", price="1000.01")], "insufficient_funds"),
        ([START, prepaid("2024-02-02 00:00", months=4)], "insufficient_funds"),
        ([payg("2024-02-02 00:00")], "insufficient_funds"),
        ([*in_arrears(), pack("2024-02-02 00:00")], "in_arrears"),
        ([*in_arrears(), pack("2024-02-03 00:00")], "suspended"),
        ([*in_arrears(), pack("2024-02-15 00:00")], "destroyed"),
        ([*in_arrears(), use("2024-02-03 00:00", calls=1)], "suspended"),
        ([*in_arrears(), use("2024-02-15 00:00", calls=1)], "destroyed"),
        ([START, pack("2024-02-02 00:00"), act("2024-02-02 00:00", "refund_pack", "p1"),
          act("2024-02-03 00:00", "refund_pack", "p1")], "pack_refunded"),
        ([START, pack("2024-02-02 00:00"), use("2024-02-02 00:30", calls=1),
          act("2024-02-02 02:00", "refund_pack", "p1")], "pack_used"),
        ([START, pack("2024-02-02 00:00"), act("2024-03-03 00:00", "refund_pack", "p1")], "pack_expired"),
        ([START, top_up("2024-02-02 00:00", "999999000.01")], "too_large"),
        ([START, payg("2024-02-02 00:00", price="1000.01")], "too_large"),
        ([START, prepaid("2024-02-02 00:00", price="0", months=1200),
          act("2024-02-03 00:00", "renew_instance", months=1)], "too_large"),
        ([START, prepaid("2024-02-02 00:00", region="ap-mumbai")], "region_unsupported"),
        ([START, prepaid("2024-02-02 00:00"), act("2024-02-03 00:00", "release_instance")], "wrong_charge"),
        ([START, payg("2024-02-02 00:00"), act("2024-02-03 00:00", "refund_instance")], "wrong_charge"),
        ([START, payg("2024-02-02 00:00"), act("2024-02-03 00:00", "renew_instance", months=1)], "wrong_charge"),
        ([START, payg("2024-02-02 00:00"), act("2024-02-03 00:00", "release_instance"),
          use("2024-02-03 00:00", "d1", calls=1)], "not_active"),
        ([START, prepaid("2024-02-02 00:00"), act("2024-02-03 00:00", "refund_instance"),
          act("2024-02-03 00:00", "renew_instance", months=1)], "not_active"),
        ([START, prepaid("2024-02-02 00:00", price="5000.00"), use("2024-02-03 00:00", "d1", calls=1)], "not_found"),
        ([top_up("2023-12-31 23:59", "1.00")], "not_found"),
    ],
)  # fmt: skip
def test_a_refused_event_is_listed_and_the_run_goes_on(events: list[dict[str, Any]], reason: str) -> None:
    assert refused(*events)[-1] == (len(events) - 1, reason)


def test_a_free_grant_is_not_refunded() -> None:
    assert refused(act("2024-02-01 00:00", "refund_pack", "free-calls-1"), free_quota=True) == [(0, "pack_source")]
    assert refused(act("2024-02-01 00:00", "refund_pack", "free-calls-9"), free_quota=True) == [(0, "not_found")]


def test_nothing_is_sold_in_another_currency() -> None:
    assert refused(START, pack("2024-02-02 00:00"), currency="CNY") == [(1, "currency_unsupported")]


def test_a_refused_purchase_may_be_tried_again_with_the_same_id() -> None:
    output = simulate(
        pack("2024-02-02 00:00"), START | {"at": "2024-02-02 00:00"}, pack("2024-02-02 00:00"), until="2024-02-03 00:00"
    )
    assert output["refused"] == [{"event": 0, "reason": "insufficient_funds"}]
    assert states(output["accounts"]["a"]["packs"]) == {"p1": "active"}


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([use("2024-02-01 10:10", calls=10**13)] * 200, "a: a month's total leaves what the ledger carries"),
        ([use("2024-02-01 10:10", out_client=2**60)] * 20, "64 bits"),
    ],
)
def test_usage_that_leaves_the_ledger_is_a_fault_that_says_so(events: list[dict[str, Any]], said: str) -> None:
    price = {"at": "2024-02-01 00:00", "do": "price", "sku": "calls", "tiers": [[None, "1000.00"]]}
    with pytest.raises(ConfigError, match=said) as error:
        simulate(price, *events, until="2024-02-02 00:00")
    assert [fault.path for fault in error.value.faults] == ["events"]


def test_an_id_in_use_is_a_fault() -> None:
    with pytest.raises(ConfigError, match=r"events\[2\]\.id"):
        simulate(START, pack("2024-02-02 00:00"), pack("2024-02-02 00:00"), until="2024-02-03 00:00")


def test_the_account_is_destroyed_with_its_instances_and_begins_anew_once_it_paid_its_debt() -> None:
    document = account_of(*in_arrears(), top_up("2024-02-20 00:00", "1.00"), until="2024-03-01 00:00")
    assert [(t["at"], t["to"]) for t in document["transitions"]] == [
        ("2024-02-01T03:00:00Z", "arrears"),
        ("2024-02-02T03:00:01Z", "suspended"),
        ("2024-02-09T03:00:02Z", "destroyed"),
        ("2024-02-19T16:00:00Z", "active"),
    ]
    assert [n["kind"] for n in document["notifications"]] == ["arrears", "suspended", "destroyed", "reopened"]
    assert (document["state"], document["wallet"]["cash"]) == ("active", "0.99999990")
    assert states(document["instances"]) == {"s1": "destroyed"}


def test_it_is_served_through_the_second_of_the_deadline() -> None:
    events = [*in_arrears(), use("2024-02-02 11:00:01", calls=1), use("2024-02-02 11:00:02", calls=1)]
    assert refused(*events) == [(3, "suspended")]


def test_late_usage_is_a_late_line_of_its_hour() -> None:
    document = account_of(
        START,
        use("2024-02-02 10:00", calls=10_000),
        use("2024-02-02 10:30", calls=10_000, arrives_at="2024-02-02 12:30"),
        use("2024-02-02 10:40", calls=10_000, arrives_at="2024-02-02 11:00"),
        until="2024-02-03 00:00",
    )
    lines = [(line["quantity"], line["late"]) for line in document["bills"]["2024-02"]["lines"]]
    assert lines == [(20_000, False), (10_000, True)]


def test_usage_for_a_closed_month_corrects_it_on_the_present_bill() -> None:
    document = account_of(
        top_up("2024-01-02 00:00", "1000.00"),
        use("2024-01-10 10:00", calls=10_000_000),
        use("2024-01-20 10:00", calls=10_000, arrives_at="2024-02-02 23:30"),
        use("2024-01-20 11:00", calls=10_000, arrives_at="2024-02-03 00:30"),
        until="2024-02-04 00:00",
    )
    assert document["bills"]["2024-01"]["total"] == "8.90590000"
    [line] = document["bills"]["2024-02"]["lines"]
    assert (line["corrects_month"], line["tier"], line["amount"], line["late"]) == ("2024-01", 2, "0.00590000", True)


def test_late_usage_takes_the_pack_and_the_price_of_its_hour() -> None:
    document = account_of(
        START,
        use("2024-02-01 23:30", calls=10, arrives_at="2024-02-02 05:00"),
        use("2024-02-02 00:00", calls=10, arrives_at="2024-02-02 05:00"),
        pack("2024-02-02 00:30"),
        {"at": "2024-02-02 01:00", "do": "price", "sku": "calls", "tiers": [[None, "1.00"]]},
        use("2024-02-02 01:00", calls=10),
        until="2024-02-03 00:00",
    )
    covers = [(line["cover"], line["unit_price"]) for line in document["bills"]["2024-02"]["lines"]]
    assert covers == [("payg", "0.0089"), ("pack", "0.0089"), ("pack", "1")]


def test_a_refunded_pack_does_not_cover_its_unsettled_hour() -> None:
    document = account_of(
        START,
        {
            "at": "2024-02-02 00:00",
            "do": "voucher",
            "account": "a",
            "id": "v",
            "amount": "0.40",
            "expires_at": "2024-02-28 00:00",
        },
        pack("2024-02-02 00:00"),
        use("2024-02-02 00:10", calls=10_000),
        act("2024-02-02 00:20", "refund_pack", "p1"),
        until="2024-02-03 00:00",
    )
    assert document["bills"]["2024-02"]["total"] == "0.00890000"
    assert states(document["packs"]) == {"p1": "refunded"}
    assert [(o["kind"], o["list"], o["voucher"], o["cash"]) for o in document["orders"]] == [
        ("pack", "1.00000000", "0.40000000", "0.60000000"),
        ("refund", "-0.60000000", "0.00000000", "-0.60000000"),
    ]
    assert document["wallet"]["cash"] == "999.99110000"


def test_paid_by_the_second_until_released() -> None:
    document = account_of(
        START, payg("2024-02-02 00:30"), act("2024-02-02 02:00:10", "release_instance"), until="2024-02-03 00:00"
    )
    quantities = [line["quantity"] for line in document["bills"]["2024-02"]["lines"]]
    assert quantities == [1800, 3600, 10]
    assert document["wallet"] == {
        "cash": "999.45900000",
        "gift": "0.00000000",
        "income": "0.00000000",
        "held": "0.00000000",
    }
    assert document["instances"][1]["ended_at"] == "2024-02-01T18:00:10Z"


def test_no_seconds_are_billed_while_suspended() -> None:
    """1.00 lasts for 2 h 46 min 40 s at 0.36 an hour: owes at the third settlement, 24 h later suspended."""
    document = account_of(
        top_up("2024-02-02 00:00", "1.00"),
        payg("2024-02-02 00:00"),
        top_up("2024-02-04 00:30", "100.00"),
        until="2024-02-04 02:00",
    )
    assert [(t["at"], t["to"]) for t in document["transitions"]] == [
        ("2024-02-01T19:00:00Z", "arrears"),
        ("2024-02-02T19:00:01Z", "suspended"),
        ("2024-02-03T16:30:00Z", "active"),
    ]
    seconds = [line["quantity"] for line in document["bills"]["2024-02"]["lines"]]
    assert seconds == [3600] * 27 + [1, 1800, 3600]
    assert document["wallet"]["held"] == "0.36000000"


def test_a_prepaid_instance_expires_is_isolated_and_destroyed() -> None:
    document = account_of(
        START, prepaid("2024-01-31 10:00:30", price="10.00") | {"at": "2024-02-01 10:00"}, until="2024-03-08 10:00:01"
    )
    assert document["instances"][1] | {"charge": "", "spec": "", "region": ""} == {
        "id": "d1", "type": "dedicated", "state": "isolated", "charge": "", "spec": "", "region": "",
        "started_at": "2024-02-01T02:00:00Z", "ended_at": "2024-03-01T02:00:01Z", "expires_at": "2024-03-01T02:00:00Z",
    }  # fmt: skip
    later = account_of(START, prepaid("2024-02-01 10:00", price="10.00"), until="2024-03-08 10:00:02")
    assert states(later["instances"])["d1"] == "destroyed"


def test_an_expired_instance_is_renewed_from_its_old_expiry_counted_from_its_start() -> None:
    document = account_of(
        top_up("2024-01-31 00:00", "1000.00"),
        prepaid("2024-01-31 10:00", price="10.00"),
        act("2024-03-01 00:00", "renew_instance", months=1),
        until="2024-03-05 00:00",
    )
    instance = document["instances"][1]
    assert (instance["state"], instance["ended_at"]) == ("active", None)
    assert instance["expires_at"] == "2024-03-31T02:00:00Z"
    assert [order["kind"] for order in document["orders"]] == ["instance", "renew"]


def test_five_days_refund_everything_once_for_an_entity() -> None:
    document = account_of(
        top_up("2024-02-01 00:00", "500.00", income="50.00", gift="50.00"),
        prepaid("2024-02-01 10:00", price="600.00"),
        act("2024-02-06 23:00", "refund_instance"),
        prepaid("2024-02-07 00:00", "d2", price="290.00"),
        act("2024-02-07 00:00:01", "refund_instance", "d2"),
        until="2024-02-08 00:00",
    )
    first, second = (order for order in document["orders"] if order["kind"] == "refund")
    assert (first["cash"], first["income"], first["gift"]) == ("-500.00000000", "-50.00000000", "-50.00000000")
    assert second["list"] == "-280.00000000"  # one of 29 days is used
    assert (second["gift"], second["income"]) == ("-48.27586207", "-48.27586207")


def test_a_renewed_instance_is_refunded_over_the_whole_paid_term() -> None:
    document = account_of(
        START,
        prepaid("2024-02-01 00:00", price="290.00"),
        act("2024-02-01 00:00", "renew_instance", months=1),
        act("2024-02-02 00:00", "refund_instance"),
        until="2024-02-03 00:00",
    )
    refund = document["orders"][-1]
    assert refund["list"] == "-570.33333333"  # 580 × 59/60


def test_alerts_come_once_a_local_day_while_low() -> None:
    document = account_of(
        top_up("2024-02-01 10:00", "5.01"),
        use("2024-02-01 10:30", out_client=GIB),
        top_up("2024-02-04 09:00", "0.10"),
        use("2024-02-04 10:00", out_client=0),
        until="2024-02-06 12:00",
        alert_below="5.00",
    )
    assert [n["at"] for n in document["notifications"]] == [
        "2024-02-01T03:00:00Z",
        "2024-02-01T16:00:00Z",
        "2024-02-02T16:00:00Z",
        "2024-02-03T16:00:00Z",
        "2024-02-04T16:00:00Z",
        "2024-02-05T16:00:00Z",
    ]


def test_no_alert_before_the_first_event() -> None:
    assert account_of(until="2024-02-06 12:00", alert_below="5.00")["notifications"] == []
    first = account_of(use("2024-02-05 10:00", calls=1), until="2024-02-05 10:30", alert_below="5.00")
    assert [n["at"] for n in first["notifications"]] == ["2024-02-05T02:00:00Z"]


def test_vouchers_pay_orders_and_bills_but_not_in_arrears_nor_after_their_end() -> None:
    def voucher(at: str, id: str, amount: str, expires_at: str = "2024-02-28 00:00") -> dict[str, Any]:
        return {"at": at, "do": "voucher", "account": "a", "id": id, "amount": amount, "expires_at": expires_at}

    document = account_of(
        top_up("2024-02-01 00:00", "0.50"),
        voucher("2024-02-01 00:00", "v1", "0.50"),
        voucher("2024-02-01 00:00", "old", "9.00", "2024-02-01 00:10"),
        pack("2024-02-01 01:00", meter="egress"),
        use("2024-02-01 02:00", calls=1),
        voucher("2024-02-01 04:00", "v2", "1.00"),
        use("2024-02-01 04:00", calls=1),
        until="2024-02-02 00:00",
    )
    assert {v["id"]: v["left"] for v in document["vouchers"]} == {
        "v1": "0.00000000",
        "old": "9.00000000",
        "v2": "1.00000000",
    }
    assert document["wallet"]["cash"] == "-0.00000178"


def test_a_dedicated_call_is_no_line_and_its_backend_bytes_are_none_either() -> None:
    document = account_of(
        START,
        prepaid("2024-02-01 00:00", price="10.00"),
        use("2024-02-01 01:00", "d1", calls=10_000, out_client=GIB, out_backend=GIB),
        until="2024-02-02 00:00",
    )
    assert [(line["meter"], line["amount"]) for line in document["bills"]["2024-02"]["lines"]] == [
        ("egress_client", "0.12000000")
    ]


def test_an_account_that_is_activated_later_is_shown_empty() -> None:
    document = account_of(until="2023-12-01 00:00")
    assert (document["state"], document["packs"], document["bills"]) == ("active", [], {})
