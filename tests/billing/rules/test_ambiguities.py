"""RULES A.6, X1 to X33: where the guide leaves something open. The amounts are worked out by hand."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from billing.basis import BasisHistory
from billing.scenario import load_scenario, parse_scenario
from billing.service import Billing
from billing.simulation import run
from config.catalog import load_catalog
from config.prices import FOLDER, load_price_book
from metering.cells import BACK_CODES, FRONT_CODES, METERS
from tests.billing.rules.bill import by_id, lines, steps, total
from tests.billing.world import GIB, World, account_of, act, pack, payg, prepaid, simulate, states, top_up, use

RICH = top_up("2024-02-01 00:00", "1000.00")
OWES = [top_up("2024-02-01 10:00", "1.00"), use("2024-02-01 10:10", out_client=10 * GIB)]  # 0.20 from 11:00 on


def voucher(at: str, id: str, amount: str, expires_at: str = "2024-03-01 00:00") -> dict[str, Any]:
    return {"at": at, "do": "voucher", "account": "a", "id": id, "amount": amount, "expires_at": expires_at}


def free_periods(activated_at: str, until: str) -> list[tuple[str, str]]:
    document = account_of(until=until, activated_at=activated_at, free_quota=True)
    return [(p["valid_from"], p["valid_to"]) for p in document["packs"] if p["meter"] == "calls"]


def test_x1_a_free_month_is_no_natural_month() -> None:
    document = account_of(
        use("2024-01-31 23:00", calls=600_000),
        use("2024-02-01 00:00", calls=600_000),
        until="2024-02-02 00:00",
        activated_at="2024-01-10T00:00:00+08:00",
        free_quota=True,
    )
    assert lines(document, "2024-02", "cover", "quantity") == [("free", 400_000), ("payg", 200_000)]


def test_x2_twelve_grants_the_last_a_day_longer() -> None:
    periods = free_periods("2019-11-10T17:13:14+08:00", "2021-01-01 00:00")
    assert len(periods) == 12
    assert periods[-1] == ("2020-10-09T16:00:00Z", "2020-11-10T16:00:00Z")


def test_x3_an_anchor_at_the_months_end_is_clipped_and_comes_back() -> None:
    begins = [begin for begin, _ in free_periods("2024-01-31T10:00:00+08:00", "2024-06-01 00:00")]
    assert begins == [
        "2024-01-31T02:00:00Z", "2024-02-28T16:00:00Z", "2024-03-30T16:00:00Z", "2024-04-29T16:00:00Z",
        "2024-05-30T16:00:00Z",
    ]  # fmt: skip


def test_x4_calls_that_something_covered_climb_no_ladder() -> None:
    document = account_of(
        RICH,
        pack("2024-02-01 00:00", quantity=9_000_000),
        use("2024-02-01 10:00", calls=9_000_000),
        use("2024-02-01 11:00", calls=10_000_000),
        until="2024-02-01 12:00",
    )
    assert lines(document, "2024-02", "cover", "tier") == [("pack", 1), ("payg", 1)]


def test_x5_the_volume_below_a_bound_keeps_its_price() -> None:
    document = account_of(RICH, use("2024-02-01 10:00", calls=20_000_000), until="2024-02-01 12:00")
    assert total(document, "2024-02") == "14.80000000"  # 8.90 + 5.90, and not 11.80


def test_x6_one_ladder_for_all_regions_of_an_account() -> None:
    document = {
        "accounts": [
            {"id": id, "currency": "USD", "activated_at": "2024-01-01T00:00:00+08:00", "free_quota": False}
            for id in ("a", "b")
        ],
        "instances": [
            {"id": "gz", "account": "a", "type": "shared", "region": "ap-guangzhou"},
            {"id": "mow", "account": "a", "type": "shared", "region": "eu-moscow"},
            {"id": "other", "account": "b", "type": "shared", "region": "eu-moscow"},
        ],
        "events": [
            {"at": "2024-02-01T10:00:00+08:00", "do": "usage", "instance": id, "calls": 10_000_000}
            for id in ("gz", "mow", "other")
        ],
        "until": "2024-02-01T11:00:00+08:00",
    }
    accounts = run(parse_scenario(document, Path()))["accounts"]
    assert lines(accounts["a"], "2024-02", "instance", "tier") == [("mow", 2), ("gz", 1)][::-1]
    assert lines(accounts["b"], "2024-02", "instance", "tier") == [("other", 1)]


def test_x7_ten_gigabytes_cost_ten_times_one() -> None:
    document = account_of(RICH, use("2024-02-01 10:00", out_client=10 * GIB), until="2024-02-01 12:00")
    assert total(document, "2024-02") == "1.20000000"


def test_x8_the_guides_sum_is_right_where_its_parts_are_cut() -> None:
    document = account_of(
        RICH,
        use("2024-02-01 10:00", calls=5_000_000, out_client=5_000_000 * 3072, out_backend=5_000_000 * 1024),
        until="2024-02-01 12:00",
    )
    assert lines(document, "2024-02", "meter", "amount") == [
        ("calls", "4.45000000"),
        ("egress_client", "1.71661377"),  # 1.716613769…
        ("egress_backend", "0.57220459"),  # 2.28881836 in all: 2.288818359…
    ]
    assert total(document, "2024-02") == "6.73881836"


def test_x9_each_currency_has_its_book() -> None:
    usd, cny = load_price_book("usd"), load_price_book("cny")
    assert (usd.currency, cny.currency) == ("USD", "CNY")
    assert [price for _, price in cny.call_tiers] == [6_000_000, 4_000_000, 3_000_000]
    assert usd.packs and usd.sells_packs


def test_x10_what_was_accepted_is_paid_whatever_follows() -> None:
    """A call and its failure are two counters; the bill reads the first (tests/gateway/proxy: dead upstreams)."""
    world = World(cash=10)
    world.count("2024-02-01 07:10", 3)
    world.count("2024-02-01 07:10", 3, "backend_error:gateway_timeout")
    world.settle("2024-02-01 08:00")
    assert [line["quantity"] for line in world.lines("2024-02")] == [3]


def test_x11_the_front_end_errors() -> None:
    assert {
        "bad_request", "unauthorized", "forbidden", "no_route", "method_not_allowed", "body_too_large", "uri_too_long",
        "head_too_large", "rate_limited", "upgrade_required", "account_suspended", "request_timeout",
    } <= set(FRONT_CODES)  # fmt: skip
    assert set(BACK_CODES) == {"backend_4xx", "backend_5xx", "bad_gateway", "no_healthy_target", "gateway_timeout"}


@pytest.mark.parametrize("basis", ["application", "wire"])
def test_x11_the_bytes_of_a_refusal_are_billed_to_nobody(basis: str) -> None:
    """Or anybody without a key could run up a bill. They are on none, and use up nothing that is free."""
    world = World(has_free_quota=True)
    world.billing = Billing(world.engine, load_price_book("usd"), load_catalog(), egress_basis=basis, is_migrated=True)
    meters = [meter for meter in METERS.values() if meter.startswith(("egress:refused:", "frontend_error:"))]
    assert f"egress:refused:internet:{basis}" in meters
    for meter in meters:
        world.count("2024-02-01 07:10", 50 * GIB, meter)
    assert world.settle("2024-02-01 08:00").settlements == 0
    assert {pack["used"] for pack in world.billing.packs("a")} == {0}


def test_x12_the_price_book_says_which_bytes_are_billed(tmp_path: Path) -> None:
    book = yaml.safe_load((FOLDER / "usd.yaml").read_text())
    book["egress_meters"]["shared"] = ["out_client"]
    (tmp_path / "book.yaml").write_text(yaml.safe_dump(book))
    scenario = {
        "price_book": "book.yaml",
        "accounts": [{"id": "a", "currency": "USD", "activated_at": "2024-01-01T00:00:00+08:00", "free_quota": False}],
        "instances": [{"id": "s", "account": "a", "type": "shared", "region": "ap-guangzhou"}],
        "events": [
            {"at": "2024-02-01T10:00:00+08:00", "do": "usage", "instance": "s", "out_client": GIB, "out_backend": GIB}
        ],
        "until": "2024-02-01T11:00:00+08:00",
    }
    (tmp_path / "scenario.yaml").write_text(yaml.safe_dump(scenario))
    document = run(load_scenario(tmp_path / "scenario.yaml"))["accounts"]["a"]
    assert lines(document, "2024-02", "meter", "amount") == [("egress_client", "0.12000000")]


def test_x13_x14_dedicated_bytes_to_backends_are_free_those_to_clients_cost_what_shared_ones_do() -> None:
    document = account_of(
        RICH,
        prepaid("2024-02-01 00:00", region="ap-hongkong"),
        use("2024-02-01 10:00", "d1", out_client=2 * GIB, out_backend=5 * GIB),
        until="2024-02-01 12:00",
    )
    assert lines(document, "2024-02", "unit_price", "amount") == [("0.15", "0.30000000")]


def test_x15_while_suspended_nothing_is_billed() -> None:
    output = simulate(*OWES, use("2024-02-02 11:00:02", out_client=GIB), until="2024-02-05 00:00")
    assert output["refused"] == [{"event": 2, "reason": "suspended"}]
    assert output["accounts"]["a"]["wallet"]["cash"] == "-0.20000000"


def test_x16_an_hour_is_billed_by_one_basis() -> None:
    history = BasisHistory([(0, "application"), (10, "wire")])
    client = "egress:client:internet"
    assert [history.billed_as(f"{client}:application", hour) for hour in (9, 10)] == ["egress_client", None]
    assert [history.billed_as(f"{client}:wire", hour) for hour in (9, 10)] == [None, "egress_client"]


def test_x17_a_pack_covers_the_hour_it_is_bought_in() -> None:
    document = account_of(
        RICH,
        use("2024-02-01 10:00:00", calls=10),
        pack("2024-02-01 10:59:59"),
        use("2024-03-02 10:59:59", calls=20),
        use("2024-03-02 11:00:00", calls=30),
        until="2024-03-03 00:00",
    )
    assert lines(document, "2024-02", "cover", "quantity") == [("pack", 10)]
    assert lines(document, "2024-03", "cover", "quantity") == [("pack", 20), ("payg", 30)]


def test_x18_free_first_then_what_ends_first() -> None:
    document = account_of(
        RICH,
        pack("2024-02-01 00:00", "long", quantity=100, months=2),
        pack("2024-02-02 00:00", "short", quantity=100, months=1),
        use("2024-02-02 10:00", calls=1_000_150),
        until="2024-02-03 00:00",
        free_quota=True,
    )
    assert lines(document, "2024-02", "pack", "quantity") == [
        ("free-calls-2", 1_000_000), ("short", 100), ("long", 50),
    ]  # fmt: skip


def test_x19_the_dearest_region_is_covered_first() -> None:
    document = account_of(
        RICH,
        prepaid("2024-02-01 00:00", region="ap-hongkong"),
        pack("2024-02-01 00:00", meter="egress", quantity=3 * GIB),
        use("2024-02-01 10:00", out_client=2 * GIB),
        use("2024-02-01 10:00", "d1", out_client=2 * GIB),
        until="2024-02-01 12:00",
    )
    assert lines(document, "2024-02", "region", "cover", "quantity") == [
        ("ap-hongkong", "pack", 2 * GIB), ("ap-guangzhou", "pack", GIB), ("ap-guangzhou", "payg", GIB),
    ]  # fmt: skip


def test_x20_hours_and_days_after_a_transition_are_exact_and_inclusive() -> None:
    document = account_of(*OWES, until="2024-02-09 11:00:01")
    assert steps(document)[1:] == [("suspended", "2024-02-02T03:00:01Z")]
    document = account_of(*OWES, until="2024-02-09 11:00:02")
    assert steps(document)[2:] == [("destroyed", "2024-02-09T03:00:02Z")]


@pytest.mark.parametrize(
    ("when", "left"),
    [
        ("2024-02-11 00:00:00", "-190.00000000"),  # 10 days used
        ("2024-02-11 00:00:01", "-180.00000000"),  # an eleventh has begun
        ("2024-02-29 23:59:59", "0.00000000"),
    ],
)
def test_x21_a_started_day_counts_whole(when: str, left: str) -> None:
    document = account_of(
        RICH,
        prepaid("2024-02-01 00:00", price="290.00"),
        act(when, "refund_instance"),
        until="2024-03-01 00:00",
    )
    assert document["orders"][-1]["list"] == left


def test_x22_a_settler_that_was_away_destroys_nobody() -> None:
    world = World()
    world.count("2024-02-01 00:10", 100)
    world.settle("2024-02-01 01:00")
    world.settle("2024-02-20 00:00")
    assert [step["to"] for step in world.document()["transitions"]] == ["arrears", "suspended"]
    world.settle("2024-02-27 00:00:00")
    assert world.document()["state"] == "suspended"
    world.settle("2024-02-27 00:00:01")
    assert world.document()["state"] == "destroyed"


def test_x23_suspension_stops_every_instance_and_every_fee_but_prepaid_time_runs_on() -> None:
    output = simulate(
        top_up("2024-02-01 00:00", "301.00"),
        prepaid("2024-02-01 00:00", "pre"),
        payg("2024-02-01 00:00", "sec", price="0.00010000"),
        use("2024-02-01 10:10", out_client=10 * GIB),
        # 11 h at 0.36, and 1.20: owes from the third hour on. Suspended on 2 February, 03:00:01.
        use("2024-02-02 03:00:02", "pre", out_client=1),
        use("2024-02-02 03:00:02", "sec", out_client=1),
        use("2024-02-02 03:00:02", "s1", calls=1),
        top_up("2024-02-05 00:00", "300.00"),
        until="2024-03-01 00:00:01",
    )
    assert [(one["event"], one["reason"]) for one in output["refused"]] == [
        (4, "suspended"), (5, "suspended"), (6, "suspended"),
    ]  # fmt: skip
    document = output["accounts"]["a"]
    assert steps(document)[:3] == [
        ("arrears", "2024-01-31T19:00:00Z"), ("suspended", "2024-02-01T19:00:01Z"), ("active", "2024-02-04T16:00:00Z"),
    ]  # fmt: skip
    seconds = [quantity for quantity, meter in lines(document, "2024-02", "quantity", "meter") if "seconds" in meter]
    assert sum(seconds) == 27 * 3600 + 1 + 25 * 86_400
    assert states(document["instances"])["pre"] == "isolated"


def test_x24_instances_are_destroyed_the_ledger_stays() -> None:
    document = account_of(*OWES, until="2024-03-01 00:00")
    assert states(document["instances"]) == {"s1": "destroyed"}
    assert total(document, "2024-02") == "1.20000000"
    assert document["wallet"]["cash"] == "-0.20000000"


def test_x25_the_hold_is_an_hours_price_never_of_a_voucher_and_is_taken_again_as_far_as_there_is_money() -> None:
    poor = simulate(
        top_up("2024-02-01 00:00", "0.35999999"),
        voucher("2024-02-01 00:00", "v", "100.00"),
        payg("2024-02-01 10:00"),
        until="2024-02-01 10:00",
    )
    assert poor["refused"] == [{"event": 2, "reason": "insufficient_funds"}]
    document = account_of(top_up("2024-02-01 00:00", "0.50"), payg("2024-02-01 10:00"), until="2024-02-01 11:00")
    assert (document["wallet"]["cash"], document["wallet"]["held"]) == ("0.00000000", "0.14000000")


def test_x26_voucher_then_gift_then_income_then_cash() -> None:
    document = account_of(
        top_up("2024-02-01 00:00", "1.00", gift="0.20", income="0.30"),
        voucher("2024-02-01 00:00", "later", "5.00", "2024-04-01 00:00"),
        voucher("2024-02-01 00:00", "first", "0.10"),
        use("2024-02-01 10:00", out_client=10 * GIB),  # 1.20: 0.10, 0.20, 0.30, 0.60
        until="2024-02-01 11:00",
    )
    assert document["wallet"] == {
        "cash": "0.40000000", "gift": "0.00000000", "income": "0.00000000", "held": "0.00000000",
    }  # fmt: skip
    assert {id: one["left"] for id, one in by_id(document["vouchers"]).items()} == {
        "first": "0.00000000", "later": "5.00000000",
    }  # fmt: skip


def test_x27_the_last_hour_of_a_month_is_on_the_old_bill() -> None:
    document = account_of(RICH | {"at": "2024-01-31 00:00"}, use("2024-01-31 23:59:59", calls=10_000),
                          until="2024-02-01 00:00")  # fmt: skip
    assert list(document["bills"]) == ["2024-01"]


def test_x28_eight_decimals_everywhere() -> None:
    document = account_of(RICH, use("2024-02-01 10:00", calls=1, out_client=100), until="2024-02-01 11:00")
    assert lines(document, "2024-02", "amount") == [("0.00000089",), ("0.00000001",)]
    assert document["wallet"]["cash"] == "999.99999910"


def test_x29_fractions_of_seconds_are_cut_off() -> None:
    document = account_of(
        RICH,
        payg("2024-02-01 10:00:00") | {"at": "2024-02-01 10:00:00.900"},
        act("2024-02-01 10:00:10", "release_instance") | {"at": "2024-02-01 10:00:10.100"},
        until="2024-02-02 00:00",
    )
    assert lines(document, "2024-02", "quantity") == [(10,)]


def test_x30_what_the_guide_leaves_to_the_purchase_page_is_marked_as_a_sample() -> None:
    for name in ("usd", "cny"):
        book = load_price_book(name)
        assert all(price.sample for price in book.instances.values())
        assert all(offer.sample for offer in book.packs)
    assert all(spec.sample for spec in load_catalog().dedicated.values())


@pytest.mark.parametrize(
    ("until", "state"),
    [
        ("2024-02-29 10:00:00", "active"),
        ("2024-02-29 10:00:01", "isolated"),
        ("2024-03-07 10:00:01", "isolated"),
        ("2024-03-07 10:00:02", "destroyed"),
    ],
)
def test_x31_a_prepaid_term_that_ends_is_isolated_and_then_destroyed(until: str, state: str) -> None:
    bought = prepaid("2024-01-31 10:00:00")  # a month later is 29 February
    document = account_of(RICH | {"at": "2024-01-31 00:00"}, bought, until=until)
    assert states(document["instances"])["d1"] == state


def test_x32_a_refund_voids_a_pack_before_its_hour_is_settled() -> None:
    document = account_of(
        RICH,
        pack("2024-02-01 10:00"),
        use("2024-02-01 10:10", calls=10_000),
        act("2024-02-01 10:20", "refund_pack", "p1"),
        until="2024-02-01 11:00",
    )
    assert lines(document, "2024-02", "cover", "amount") == [("payg", "0.00890000")]


def test_x33_beyond_the_limit_is_refused_and_uses_no_capacity(tmp_path: Path) -> None:
    from gateway.limits.admission import LimitSet
    from gateway.limits.limit import Limit
    from gateway.limits.table import LimitTable

    LimitTable.create(tmp_path / "pool.lim").close()
    table = LimitTable.open(tmp_path / "pool.lim")
    limits = LimitSet((Limit(table, 0, 1, "service", "s", burst_ms=100, workers=1),))
    second = 1_000_000_000
    assert [limits.admit(second) is None for _ in range(50)].count(True) == 2  # the limit and its burst of one
    assert [limits.admit(second + n * second) is None for n in range(1, 4)] == [True, True, True]
