"""RULES A.4, B28 to B39: resource packs."""

from pathlib import Path
from typing import Any

import pytest

from billing.scenario import parse_scenario
from billing.simulation import run
from config.catalog import load_catalog
from config.errors import ConfigError
from tests.billing.rules.bill import by_id, lines, steps, total
from tests.billing.world import GIB, World, account_of, act, at, pack, payg, prepaid, simulate, top_up, use

RICH = top_up("2024-02-01 00:00", "1000.00")


def test_b28_a_pack_of_calls_is_for_shared_instances_one_of_egress_for_both() -> None:
    document = account_of(
        RICH,
        prepaid("2024-02-01 00:00"),
        pack("2024-02-01 00:00", "c", quantity=1000),
        pack("2024-02-01 00:00", "e", meter="egress", quantity=3 * GIB),
        use("2024-02-01 10:00", "d1", calls=900, out_client=GIB),
        use("2024-02-01 10:00", calls=100, out_backend=GIB),
        until="2024-02-01 11:00",
    )
    packs = by_id(document["packs"])
    assert (packs["c"]["used"], packs["e"]["used"]) == (100, 2 * GIB)
    assert total(document, "2024-02") == "0.00000000"


def test_b29_three_sources() -> None:
    document = account_of(
        RICH,
        pack("2024-02-01 00:00", "bought"),
        pack("2024-02-01 00:00", "won", source="campaign", price="0"),
        until="2024-02-01 11:00",
        free_quota=True,
    )
    assert {p["source"] for p in document["packs"]} == {"free", "purchase", "campaign"}


def test_b30_packs_count_in_every_region_but_those_that_sell_none() -> None:
    regions = load_catalog().regions
    assert all(region.packs for region in regions.values())
    from billing.charging import Positions, Usage, charge_hour
    from billing.packs import Pack, Source
    from billing.prices import EGRESS, PriceList
    from billing.rating import Price, Tier

    prices = PriceList(Price(n, EGRESS, region, GIB, (Tier(None, 12),), 0) for n, region in enumerate(("fin", "gz")))
    packs = [Pack(1, "p", EGRESS, Source.PURCHASE, 10, 0, 0, 9), Pack(2, "f", EGRESS, Source.FREE, 4, 0, 0, 9)]
    usage = [Usage("i", "fin", "egress_client", EGRESS, 5), Usage("j", "gz", "egress_client", EGRESS, 5)]
    found = charge_hour(1, "2024-02", usage, packs, prices, Positions(), {"fin"})
    assert [(line.region, line.cover, line.quantity) for line in found] == [
        ("fin", "free", 4), ("fin", "payg", 1), ("gz", "pack", 5),
    ]  # fmt: skip


@pytest.mark.parametrize(("months", "valid_to"), [(1, "2024-03-02T09:00:00Z"), (3, "2024-05-01T09:00:00Z")])
def test_b31_a_month_of_a_pack_is_thirty_days_and_never_less(months: int, valid_to: str) -> None:
    document = account_of(RICH, pack("2024-02-01 16:39:22", months=months), until="2024-02-02 00:00")
    assert (document["packs"][0]["valid_from"], document["packs"][0]["valid_to"]) == ("2024-02-01T08:00:00Z", valid_to)


def test_b32_a_bought_pack_is_not_reset_with_the_month() -> None:
    document = account_of(
        RICH,
        pack("2024-02-20 00:00", quantity=100, months=3),
        use("2024-02-20 10:00", calls=60),
        use("2024-03-20 10:00", calls=60),
        until="2024-03-21 00:00",
    )
    assert lines(document, "2024-03", "cover", "quantity") == [("pack", 40), ("payg", 20)]


def test_b33_a_pack_covers_its_own_meter_only() -> None:
    document = account_of(
        RICH,
        pack("2024-02-01 00:00", quantity=10**9),
        use("2024-02-01 10:00", out_client=GIB),
        until="2024-02-01 11:00",
    )
    assert lines(document, "2024-02", "cover", "amount") == [("payg", "0.12000000")]


def test_b34_a_pack_burns_in_the_settlement_and_not_before() -> None:
    events = [RICH, pack("2024-02-01 10:00"), use("2024-02-01 10:10", calls=10)]
    assert account_of(*events, until="2024-02-01 10:59:59")["packs"][0]["used"] == 0
    assert account_of(*events, until="2024-02-01 11:00:00")["packs"][0]["used"] == 10


def test_b35_a_full_pack_delays_no_suspension() -> None:
    document = account_of(
        top_up("2024-02-01 00:00", "1.00"),
        pack("2024-02-01 00:00", quantity=10**9),
        use("2024-02-01 10:10", calls=10, out_client=1000),
        until="2024-02-02 11:00:01",
    )
    assert steps(document) == [("arrears", "2024-02-01T03:00:00Z"), ("suspended", "2024-02-02T03:00:01Z")]


def test_b36_no_pack_covers_an_instances_fee() -> None:
    document = account_of(
        RICH,
        payg("2024-02-01 10:00"),
        pack("2024-02-01 10:00", "e", meter="egress", quantity=GIB),
        pack("2024-02-01 10:00", "c", quantity=10**9),
        until="2024-02-01 11:00",
    )
    assert lines(document, "2024-02", "meter", "cover", "amount") == [("instance_seconds", "instance", "0.36000000")]


REFUND = act("2024-02-10 00:00", "refund_pack", "p1")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([pack("2024-02-01 00:00"), REFUND], []),
        ([pack("2024-02-01 00:00", source="campaign"), REFUND], []),
        ([pack("2024-02-01 00:00"), use("2024-02-01 00:10", calls=1), REFUND], [{"event": 3, "reason": "pack_used"}]),
        ([pack("2024-01-11 00:00"), REFUND], [{"event": 2, "reason": "pack_expired"}]),
        ([pack("2024-01-11 01:00"), REFUND], []),
    ],
    ids=["all four hold", "a campaign's too (P4)", "used", "at its end", "in its last hour"],
)
def test_b37_a_refund_has_four_conditions(events: list[dict[str, Any]], expected: list[Any]) -> None:
    output = simulate(top_up("2024-01-10 00:00", "10.00"), *events, until="2024-02-11 00:00")
    assert output["refused"] == expected


def test_b38_everything_but_the_voucher_comes_back_to_the_same_buckets() -> None:
    document = account_of(
        top_up("2024-02-01 00:00", "2.00", gift="1.00", income="0.50"),
        {"at": "2024-02-01 00:00", "do": "voucher", "account": "a", "id": "v", "amount": "0.75",
         "expires_at": "2024-03-01 00:00"},
        pack("2024-02-01 01:00", price="3.00"),
        act("2024-02-02 00:00", "refund_pack", "p1"),
        until="2024-02-02 00:00",
    )  # fmt: skip
    assert [(o["list"], o["voucher"], o["gift"], o["income"], o["cash"]) for o in document["orders"]] == [
        ("3.00000000", "0.75000000", "1.00000000", "0.50000000", "0.75000000"),
        ("-2.25000000", "0.00000000", "-1.00000000", "-0.50000000", "-0.75000000"),
    ]
    assert document["wallet"] == {
        "cash": "2.00000000", "gift": "1.00000000", "income": "0.50000000", "held": "0.00000000",
    }  # fmt: skip
    assert document["vouchers"][0]["left"] == "0.00000000"


def test_b39_a_book_that_sells_no_packs_sells_none() -> None:
    world = World(cash=10)
    world.billing.price_book = world.billing.price_book.model_copy(update={"sells_packs": False})
    from billing.errors import Refused

    with pytest.raises(Refused, match="currency_unsupported"):
        world.billing.buy_pack("a", "p", meter="calls", quantity=1, months=1, price=1, now=at("2024-02-01 00:00"))


def test_b39_in_its_own_currency_a_pack_is_sold() -> None:
    document = {
        "price_book": "cny",
        "accounts": [{"id": "a", "currency": "CNY", "activated_at": "2024-01-01T00:00:00+08:00", "free_quota": False}],
        "instances": [{"id": "s1", "account": "a", "type": "shared", "region": "ap-guangzhou"}],
        "events": [
            {"at": "2024-02-01T00:00:00+08:00", "do": "top_up", "account": "a", "cash": "10.00"},
            {"at": "2024-02-01T00:00:00+08:00", "do": "buy_pack", "account": "a", "id": "p", "meter": "calls",
             "quantity": 10000, "months": 1, "price": "1.00"},
            {"at": "2024-02-01T00:10:00+08:00", "do": "usage", "instance": "s1", "calls": 20000},
        ],
        "until": "2024-02-02T00:00:00+08:00",
    }  # fmt: skip
    output = run(parse_scenario(document, Path()))
    assert output["refused"] == []
    assert output["accounts"]["a"]["wallet"]["cash"] == "8.94000000"


BOTH = {"meter": None, "quantity": None, "meters": {"calls": 100, "egress": GIB}}


def both(at: str, **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in pack(at, "both", **BOTH, **changes).items() if value is not None}


def test_b31_a_pack_of_several_meters_has_a_quantity_of_each() -> None:
    document = account_of(
        RICH,
        both("2024-02-01 10:20:30"),
        use("2024-02-01 10:30", calls=150, out_client=GIB // 2),
        until="2024-02-02 00:00",
    )
    assert [(one["id"], one["meter"], one["total"], one["used"]) for one in document["packs"]] == [
        ("both", "calls", 100, 100),
        ("both", "egress", GIB, GIB // 2),
    ]
    assert {one["collected_at"] for one in document["packs"]} == {"2024-02-01T02:20:30Z"}
    assert [order["list"] for order in document["orders"]] == ["1.00000000"], "bought for one price"
    assert lines(document, "2024-02", "meter", "cover", "quantity", "pack") == [
        ("calls", "pack", 100, "both"), ("calls", "payg", 50, None), ("egress_client", "pack", GIB // 2, "both"),
    ]  # fmt: skip


@pytest.mark.parametrize("used", [{"calls": 1}, {"out_client": 1}, {}])
def test_b37_a_pack_is_unused_where_no_meter_of_it_is_in_use(used: dict[str, int]) -> None:
    output = simulate(
        top_up("2024-02-01 00:00", "1.00"),
        both("2024-02-01 10:00"),
        use("2024-02-01 10:30", **used),
        act("2024-02-01 12:00", "refund_pack", "both"),
        until="2024-02-02 00:00",
    )
    document = output["accounts"]["a"]
    if used:
        assert output["refused"] == [{"event": 3, "reason": "pack_used"}]
        assert document["wallet"]["cash"] == "0.00000000"
    else:
        assert output["refused"] == []
        assert document["wallet"]["cash"] == "1.00000000", "once, not for each meter"
        assert {one["state"] for one in document["packs"]} == {"refunded"}


def test_b31_a_pack_in_a_scenario_is_described_in_one_way() -> None:
    for changes, paths in (
        ({"meter": "calls"}, ["meter"]),
        ({"meters": {}}, ["meters"]),
        ({"meters": {"calls": 0}}, ["meters.calls"]),
        ({"meters": None}, ["meter", "quantity"]),
    ):
        with pytest.raises(ConfigError) as error:
            simulate(
                {name: value for name, value in {**both("2024-02-01 10:00"), **changes}.items() if value is not None},
                until="2024-02-02 00:00",
            )
        assert [fault.path for fault in error.value.faults] == [f"events[0].{path}" for path in paths]


def test_l13_a_grant_is_collected_with_the_account_or_when_it_begins() -> None:
    document = account_of(until="2024-03-20 00:00", free_quota=True, activated_at="2024-01-15T16:39:22+08:00")
    collected = [(one["collected_at"], one["valid_from"]) for one in document["packs"] if one["meter"] == "calls"]
    assert collected == [
        ("2024-01-15T08:39:22Z", "2024-01-15T08:00:00Z"),
        ("2024-02-14T16:00:00Z", "2024-02-14T16:00:00Z"),
        ("2024-03-14T16:00:00Z", "2024-03-14T16:00:00Z"),
    ]
