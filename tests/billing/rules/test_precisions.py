"""RULES A.8, P1 to P16: what the other rows leave open. The amounts are worked out by hand."""

from pathlib import Path
from typing import Any

import pytest

from billing.scenario import parse_scenario
from billing.simulation import run
from config.catalog import load_catalog
from config.errors import ConfigError
from config.prices import load_price_book
from tests.billing.rules.bill import by_id, kinds, lines, steps, total
from tests.billing.world import GIB, account_of, act, pack, payg, prepaid, simulate, states, top_up, use

RICH = top_up("2024-02-01 00:00", "1000.00")
OWES = [top_up("2024-02-01 10:00", "1.00"), use("2024-02-01 10:10", out_client=10 * GIB)]  # 0.20 from 11:00 on


def voucher(at: str, id: str, amount: str, expires_at: str = "2024-03-01 00:00") -> dict[str, Any]:
    return {"at": at, "do": "voucher", "account": "a", "id": id, "amount": amount, "expires_at": expires_at}


def price(at: str, amount: str, region: str = "ap-guangzhou") -> dict[str, Any]:
    return {"at": at, "do": "price", "sku": "egress", "region": region, "price": amount}


PRICES = {
    "0.12": "ap-guangzhou ap-shanghai ap-beijing ap-nanjing ap-chengdu ap-chongqing ap-singapore ap-jakarta ap-seoul "
    "ap-tokyo eu-frankfurt eu-moscow",
    "0.15": "ap-hongkong",
    "0.074": "ap-bangkok na-siliconvalley na-ashburn na-toronto",
    "0.087": "ap-mumbai",
}


def test_p1_regions_and_their_prices() -> None:
    egress = load_price_book("usd").egress
    expected = {region: round(float(text) * 10**8) for text, regions in PRICES.items() for region in regions.split()}
    assert egress == expected
    assert set(load_catalog().regions) == set(expected)


def test_p2_egress_goes_by_price_region_instance_and_client_before_backend() -> None:
    document: dict[str, Any] = {
        "accounts": [{"id": "a", "currency": "USD", "activated_at": "2024-01-01T00:00:00+08:00", "free_quota": False}],
        "instances": [
            {"id": id, "account": "a", "type": "shared", "region": region}
            for id, region in (
                ("z", "ap-guangzhou"), ("b", "ap-beijing"), ("a", "ap-guangzhou"), ("m", "ap-mumbai"),
                ("h", "ap-hongkong"),
            )
        ],
        "events": [
            {"at": "2024-02-01T10:00:00+08:00", "do": "usage", "instance": id, "out_client": GIB, "out_backend": GIB}
            for id in ("z", "a", "m", "b", "h")
        ],
        "until": "2024-02-01T11:00:00+08:00",
    }  # fmt: skip
    account = run(parse_scenario(document, Path()))["accounts"]["a"]
    sides = ("egress_client", "egress_backend")
    assert lines(account, "2024-02", "instance", "meter") == [(id, side) for id in "hbazm" for side in sides]


def test_p2_one_accumulator_for_a_region_whichever_instance_it_was() -> None:
    """45 bytes at 0.12 are 0.5029 e8: the first rounds to 1, the second makes 1.0058 of it, the third 1.5088."""
    document = account_of(
        RICH,
        prepaid("2024-02-01 00:00"),
        use("2024-02-01 10:00", "d1", out_client=45),
        use("2024-02-01 11:00", out_backend=45),
        use("2024-02-01 12:00", out_client=45),
        until="2024-02-01 13:00",
    )
    assert lines(document, "2024-02", "amount") == [("0.00000001",), ("0.00000000",), ("0.00000001",)]


def test_p2_a_new_price_rounds_anew_and_list_of_a_covered_line_rounds_by_itself() -> None:
    document = account_of(
        RICH,
        use("2024-02-01 10:00", out_client=45),
        price("2024-02-01 11:00", "0.12"),
        use("2024-02-01 11:00", out_client=45),
        pack("2024-02-01 12:00", meter="egress", quantity=45),
        use("2024-02-01 12:00", out_client=45),
        until="2024-02-01 13:00",
    )
    assert lines(document, "2024-02", "cover", "list", "amount") == [
        ("payg", "0.00000001", "0.00000001"),
        ("payg", "0.00000001", "0.00000001"),
        ("pack", "0.00000001", "0.00000000"),
    ]


def test_p3_of_packs_with_equal_dates_the_first_bought_goes_first_and_grants_have_names() -> None:
    document = account_of(
        RICH,
        pack("2024-02-01 10:00:00", "z", quantity=10),
        pack("2024-02-01 10:30:00", "a", quantity=10),
        use("2024-02-01 10:40", calls=15),
        until="2024-02-01 11:00",
    )
    assert lines(document, "2024-02", "pack", "quantity") == [("z", 10), ("a", 5)]
    granted = account_of(until="2025-03-01 00:00", free_quota=True)
    assert {p["id"] for p in granted["packs"]} == {
        f"free-{meter}-{number}" for meter in ("calls", "egress") for number in range(1, 13)
    }


def test_p3_a_grant_appears_when_it_begins() -> None:
    def count(until: str) -> int:
        return len(account_of(until=until, free_quota=True)["packs"])

    assert [count(until) for until in ("2024-01-31 23:59:59", "2024-02-01 00:00:00")] == [2, 4]


@pytest.mark.parametrize(
    ("until", "state"),
    [("2024-02-01 10:59:59", "active"), ("2024-02-01 11:00:00", "used_up"), ("2024-03-02 10:00:00", "expired")],
)
def test_p4_states_of_a_pack(until: str, state: str) -> None:
    document = account_of(RICH, pack("2024-02-01 10:00", quantity=5), use("2024-02-01 10:10", calls=9), until=until)
    assert states(document["packs"]) == {"p1": state}


def test_p4_a_refunded_pack_stays_refunded_after_its_end() -> None:
    document = account_of(
        RICH, pack("2024-02-01 10:00"), act("2024-02-01 10:00", "refund_pack", "p1"), until="2024-04-01 00:00"
    )
    assert states(document["packs"]) == {"p1": "refunded"}


def test_p5_one_voucher_for_each_account_hour_and_revision() -> None:
    document = account_of(
        RICH,
        voucher("2024-02-01 00:00", "v1", "0.10"),
        voucher("2024-02-01 00:00", "v2", "0.05"),
        voucher("2024-02-01 00:00", "v3", "0.01"),
        use("2024-02-01 10:00", out_client=GIB),  # 0.12: v1 alone, and 0.02
        use("2024-02-01 10:10", out_client=GIB, arrives_at="2024-02-01 11:30"),  # revision 2: v2 alone, and 0.07
        use("2024-02-01 11:10", out_client=GIB),  # its own hour, at the same instant: v3 alone, and 0.11
        until="2024-02-01 12:00",
    )
    assert document["wallet"]["cash"] == "999.80000000"
    assert {one["left"] for one in document["vouchers"]} == {"0.00000000"}


@pytest.mark.parametrize(("expires_at", "left"), [("2024-02-01 11:00:00", "0.00000000"),
                                                  ("2024-02-01 10:59:59", "0.10000000")])  # fmt: skip
def test_p5_validity_is_judged_at_the_end_of_the_hour_of_use(expires_at: str, left: str) -> None:
    document = account_of(
        RICH, voucher("2024-02-01 00:00", "v1", "0.10", expires_at), use("2024-02-01 10:00", out_client=GIB),
        until="2024-02-01 12:00",
    )  # fmt: skip
    assert document["vouchers"][0]["left"] == left


def test_p5_one_given_in_arrears_waits_until_nothing_is_owed() -> None:
    document = account_of(
        *OWES,
        voucher("2024-02-01 12:00", "v", "1.00"),
        use("2024-02-01 12:10", out_client=GIB),
        top_up("2024-02-01 13:30", "0.32"),
        use("2024-02-01 13:40", out_client=GIB),
        until="2024-02-01 14:00",
    )
    assert document["vouchers"][0]["left"] == "0.88000000"
    assert document["wallet"]["cash"] == "0.00000000"


def test_p6_a_hold_comes_from_cash_income_gift_and_goes_back_there() -> None:
    events = [top_up("2024-02-01 00:00", "0.10", income="0.20", gift="1.00"), payg("2024-02-01 10:00")]
    document = account_of(*events, until="2024-02-01 10:00")
    assert document["wallet"] == {
        "cash": "0.00000000", "income": "0.00000000", "gift": "0.94000000", "held": "0.36000000",
    }  # fmt: skip
    assert [(o["kind"], o["ref"], o["list"], o["cash"]) for o in document["orders"]] == [
        ("instance", "d1", "0.00000000", "0.00000000")
    ]
    back = account_of(*events, act("2024-02-01 10:00", "release_instance"), until="2024-02-01 10:30")
    assert (back["wallet"]["cash"], back["wallet"]["income"], back["wallet"]["gift"]) == (
        "0.10000000", "0.20000000", "1.00000000",
    )  # fmt: skip


def test_p7_shares_of_a_refund_are_half_up_and_the_last_payer_takes_the_rest() -> None:
    """300 of 1, 1 and 298: a day of 29 used leaves 289.65517241."""
    document = account_of(
        top_up("2024-02-01 00:00", "298.00", income="1.00", gift="1.00"),
        prepaid("2024-01-31 00:00", "other", price="0.00") | {"at": "2024-02-01 00:00"},
        act("2024-02-01 00:00", "refund_instance", "other"),  # the five-day refund is used
        prepaid("2024-02-01 00:00", price="300.00"),
        act("2024-02-02 00:00", "refund_instance"),
        until="2024-02-02 00:00",
    )
    last = document["orders"][-1]
    # cash 289.65517241 × 298/300 = 287.724137927…, income × 1/300 = 0.965517241…, gift the rest.
    assert (last["list"], last["cash"], last["income"], last["gift"]) == (
        "-289.65517241", "-287.72413793", "-0.96551724", "-0.96551724",
    )  # fmt: skip


def test_p8_renewal_counts_months_from_the_first_start_and_joins_the_terms() -> None:
    document = account_of(
        top_up("2024-01-31 00:00", "1000.00"),
        prepaid("2024-01-31 10:00", price="100.00"),
        act("2024-02-05 00:00", "renew_instance", months=2),
        act("2024-02-05 10:00", "refund_instance"),  # 5 of 90 days of 300, and no five-day refund
        until="2024-02-06 00:00",
    )
    instance = by_id(document["instances"])["d1"]
    assert instance["expires_at"] == "2024-04-30T02:00:00Z"
    assert document["orders"][-1]["list"] == "-283.33333333"


def test_p8_an_expired_instance_may_be_renewed_one_that_was_refunded_may_not() -> None:
    output = simulate(
        top_up("2024-01-01 00:00", "1000.00"),
        prepaid("2024-01-01 10:00", "d1", price="10.00"),
        prepaid("2024-01-01 10:00", "d2", price="10.00"),
        act("2024-01-02 00:00", "refund_instance", "d2"),
        act("2024-01-03 00:00", "renew_instance", "d2", months=1),
        act("2024-02-08 10:00:01", "renew_instance", "d1", months=1),
        prepaid("2024-02-08 10:00:00", "d3", price="10.00") | {"at": "2024-02-08 10:00:01"},
        prepaid("2024-02-08 10:00:01", "d4", price="10.00"),
        act("2024-03-15 10:00:03", "renew_instance", "d3", months=1),
        act("2024-03-15 10:00:04", "renew_instance", "d4", months=1),
        until="2024-03-17 00:00",
    )
    assert [(one["event"], one["reason"]) for one in output["refused"]] == [(4, "not_active"), (9, "not_active")]
    instances = by_id(output["accounts"]["a"]["instances"])
    assert instances["d1"]["expires_at"] == "2024-03-01T02:00:00Z"
    assert instances["d3"]["state"] == "active"


@pytest.mark.parametrize(
    "event",
    [
        act("2024-02-02 00:00", "refund_instance"),
        act("2024-02-02 00:00", "renew_instance", months=1),
        act("2024-02-02 00:00", "release_instance", "d2"),
        act("2024-02-02 00:00", "refund_instance", "s1"),
    ],
)
def test_p8_what_is_for_the_other_charge_is_refused(event: dict[str, Any]) -> None:
    output = simulate(
        RICH, payg("2024-02-01 10:00"), prepaid("2024-02-01 10:00", "d2"), event, until="2024-02-02 00:00"
    )
    assert output["refused"] == [{"event": 3, "reason": "wrong_charge"}]


def test_p9_events_come_before_the_settlement_of_the_same_instant() -> None:
    """Topped up at 11:00 sharp, the bill of 11:00 finds the money; the pack bought then does not cover the old hour."""
    document = account_of(*OWES, top_up("2024-02-01 11:00", "0.20"), until="2024-02-02 00:00")
    assert document["transitions"] == []
    refunded = account_of(
        RICH, pack("2024-02-01 10:00"), use("2024-02-01 10:10", calls=10_000),
        act("2024-02-01 11:00", "refund_pack", "p1"), until="2024-02-01 11:00",
    )  # fmt: skip
    assert lines(refunded, "2024-02", "cover") == [("payg",)]


def test_p9_usage_that_arrives_on_the_full_hour_is_settled_at_it() -> None:
    document = account_of(
        RICH, use("2024-02-01 10:10", calls=7, arrives_at="2024-02-01 11:00"),
        use("2024-02-01 10:20", calls=9, arrives_at="2024-02-01 12:00:00"), until="2024-02-01 12:00",
    )  # fmt: skip
    assert lines(document, "2024-02", "quantity", "late") == [(7, False), (9, True)]


def test_p9_the_second_after_a_deadline_is_still_billed_and_an_event_in_it_is_heard() -> None:
    """By the second for 0.36 an hour on 0.10: owes at 11:00, suspended at 11:00:01 of the next day."""
    document = account_of(
        top_up("2024-02-01 00:00", "0.36"),
        payg("2024-02-01 10:00"),
        use("2024-02-02 12:00:01", "s1", calls=1),
        until="2024-02-03 00:00",
    )
    assert steps(document) == [("arrears", "2024-02-01T04:00:00Z"), ("suspended", "2024-02-02T04:00:01Z")]
    seconds = [q for q, meter in lines(document, "2024-02", "quantity", "meter") if meter == "instance_seconds"]
    assert seconds == [3600] * 26 + [1]


def test_p9_until_is_inclusive() -> None:
    document = account_of(RICH, use("2024-02-01 10:10", calls=7), pack("2024-02-01 11:00"), until="2024-02-01 11:00")
    assert lines(document, "2024-02", "quantity") == [(7,)]
    assert states(document["packs"]) == {"p1": "active"}


def test_p10_a_price_holds_from_the_next_full_hour() -> None:
    document = account_of(
        RICH,
        use("2024-02-01 10:00", out_client=GIB),
        price("2024-02-01 10:00:01", "0.20"),
        use("2024-02-01 11:00", out_client=GIB),
        price("2024-02-01 12:00:00", "0.30"),
        use("2024-02-01 12:30", out_client=GIB),
        until="2024-02-01 13:00",
    )
    assert lines(document, "2024-02", "amount") == [("0.12000000",), ("0.20000000",), ("0.30000000",)]


@pytest.mark.parametrize(
    ("arrives_at", "month", "corrects"),
    [("2024-02-03 00:00:00", "2024-01", None), ("2024-02-03 00:00:01", "2024-02", "2024-01")],
)
def test_p11_a_month_closes_on_the_third(arrives_at: str, month: str, corrects: str | None) -> None:
    document = account_of(
        RICH | {"at": "2024-01-01 00:00"},
        use("2024-01-10 10:00", calls=10_000_000),
        use("2024-01-20 10:00", calls=10_000, arrives_at=arrives_at),
        use("2024-02-01 10:00", calls=10_000) | {"at": "2024-02-01 10:00"},
        until="2024-02-04 00:00",
    )
    found = lines(document, month, "hour", "tier", "amount", "corrects_month", "late")
    assert ("2024-01-20T02:00:00Z", 2, "0.00590000", corrects, True) in found
    assert total(document, "2024-02") == ("0.00890000" if corrects is None else "0.01480000")


def test_p12_from_the_first_event_on_every_local_day_while_low_and_not_while_suspended() -> None:
    document = account_of(
        use("2024-02-01 10:10", out_client=GIB),
        until="2024-02-05 00:00",
        alert_below="5.00",
    )
    assert kinds(document) == [
        ("balance_alert", "2024-02-01T02:10:00Z"),
        ("arrears", "2024-02-01T03:00:00Z"),
        ("balance_alert", "2024-02-01T16:00:00Z"),
        ("suspended", "2024-02-02T03:00:01Z"),
    ]


def test_p12_a_refused_event_is_an_event() -> None:
    output = simulate(pack("2024-02-01 10:10"), until="2024-02-01 12:00", alert_below="5.00")
    assert output["refused"] == [{"event": 0, "reason": "insufficient_funds"}]
    assert kinds(output["accounts"]["a"]) == [("balance_alert", "2024-02-01T02:10:00Z")]


def test_p13_a_return_is_resumed_and_who_pays_after_destruction_begins_anew() -> None:
    document = account_of(*OWES, top_up("2024-02-01 12:00", "0.20"), until="2024-02-02 00:00")
    assert [kind for kind, _ in kinds(document)] == ["arrears", "resumed"]
    some = [*OWES, top_up("2024-02-20 12:00", "0.10"), pack("2024-02-20 12:00")]
    output = simulate(*some, until="2024-02-21 00:00")
    assert (output["accounts"]["a"]["state"], output["refused"]) == ("destroyed", [{"event": 3, "reason": "destroyed"}])
    anew = [
        *some,
        top_up("2024-02-21 12:00", "5.10"),
        use("2024-02-21 12:00", calls=1),  # what it had is gone
        {"at": "2024-02-21 12:00", "do": "buy_instance", "account": "a", "id": "n", "spec": "shared",
         "region": "ap-guangzhou"},
        {"at": "2024-02-21 12:00", "do": "buy_instance", "account": "a", "id": "s1", "spec": "shared",
         "region": "ap-guangzhou"},
        use("2024-02-21 12:10", "n", calls=10_000),
        use("2024-02-21 12:10", calls=10_000),
        pack("2024-02-21 12:20"),
    ]  # fmt: skip
    output = simulate(*anew, until="2024-02-22 00:00")
    document = output["accounts"]["a"]
    assert output["refused"] == [{"event": 3, "reason": "destroyed"}, {"event": 5, "reason": "not_active"}]
    assert [kind for kind, _ in kinds(document)] == ["arrears", "suspended", "destroyed", "reopened"]
    assert (document["state"], document["wallet"]["cash"]) == ("active", "3.98309000")
    assert states(document["instances"]) == {"s1": "active", "n": "active"}
    assert [order["kind"] for order in document["orders"]] == ["pack"]


def test_p13_who_begins_anew_has_no_second_free_year() -> None:
    document = account_of(
        top_up("2024-02-01 10:00", "0.10"),
        use("2024-02-01 10:10", out_client=20 * GIB),
        top_up("2024-03-20 12:00", "5.00"),
        until="2024-03-21 00:00",
        free_quota=True,
    )
    assert document["state"] == "active"
    assert [one["id"] for one in document["packs"] if one["meter"] == "calls"] == [f"free-calls-{n}" for n in (1, 2, 3)]


def test_p13_a_shared_instance_has_no_fee_and_is_not_had_in_debt() -> None:
    wish = {"at": "2024-02-01 12:00", "do": "buy_instance", "account": "a", "id": "n", "spec": "shared",
            "region": "ap-guangzhou"}  # fmt: skip
    assert simulate(*OWES, wish, until="2024-02-02 00:00")["refused"] == [{"event": 2, "reason": "in_arrears"}]
    for name, value in (("charge", "payg"), ("months", 1), ("price", "1.00")):
        with pytest.raises(ConfigError) as error:
            simulate({**wish, name: value}, until="2024-02-02 00:00")
        assert [fault.path for fault in error.value.faults] == [f"events[0].{name}"]


def test_p14_no_line_for_what_costs_nothing_by_itself() -> None:
    document = account_of(
        RICH, prepaid("2024-02-01 00:00"), use("2024-02-01 10:00", "d1", calls=10**9, out_backend=GIB),
        until="2024-02-02 00:00",
    )  # fmt: skip
    assert document["bills"] == {}


def test_p15_a_call_is_counted_by_the_data_plane_once_and_the_bill_takes_its_count() -> None:
    """When it counts is shown in tests/gateway/proxy; here: what is counted is billed to the call."""
    document = account_of(RICH, use("2024-02-01 10:00", calls=1), use("2024-02-01 10:00", calls=1),
                          until="2024-02-02 00:00")  # fmt: skip
    assert lines(document, "2024-02", "quantity") == [(2,)]


def test_p16_the_inner_network_is_free_for_shared_instances_too() -> None:
    from tests.billing.world import World

    world = World(cash=1)
    world.count("2024-02-01 07:10", GIB, "egress:client:vpc:application")
    world.count("2024-02-01 07:10", GIB, "egress:backend:vpc:application")
    assert world.settle("2024-02-01 08:00").settlements == 0
