"""RULES A.1, B1 to B13: what is metered, and what of it costs anything. The amounts are worked out by hand."""

import pytest

from billing.settlement import STRAGGLERS_WAIT_S
from config.catalog import load_catalog
from tests.billing.rules.bill import lines, total
from tests.billing.world import GIB, World, account_of, at, payg, prepaid, top_up, use

RICH = top_up("2024-02-01 00:00", "1000.00")


def test_b1_shared_pays_calls_and_egress_dedicated_pays_instance_and_egress() -> None:
    document = account_of(
        RICH,
        payg("2024-02-01 10:00"),
        use("2024-02-01 10:00", "d1", calls=20_000_000, out_client=GIB),
        use("2024-02-01 10:30", calls=10_000, out_client=GIB),
        until="2024-02-01 11:00",
    )
    assert lines(document, "2024-02", "instance", "meter", "quantity", "amount") == [
        ("s1", "calls", 10_000, "0.00890000"),  # tier 1: dedicated calls move no ladder
        ("d1", "egress_client", GIB, "0.12000000"),
        ("s1", "egress_client", GIB, "0.12000000"),
        ("d1", "instance_seconds", 3600, "0.36000000"),
    ]


def test_b2_one_settlement_for_each_account_and_hour_of_the_hour_of_usage() -> None:
    world = World(cash=10)
    world.count("2024-02-01 07:00:00", 100)
    world.count("2024-02-01 07:59:59", 250)
    world.count("2024-02-01 08:00:00", 70)
    assert world.settle("2024-02-01 08:00").settlements == 1
    world.settle("2024-02-01 09:00")
    found = [(one["hour"], one["at"], one["rev"]) for one in world.billing.settlements("a")]
    assert found == [
        ("2024-01-31T23:00:00Z", "2024-02-01T00:00:00Z", 1),
        ("2024-02-01T00:00:00Z", "2024-02-01T01:00:00Z", 1),
    ]


def test_b3_the_hour_is_billed_within_30_minutes_whoever_is_late() -> None:
    assert STRAGGLERS_WAIT_S < 30 * 60
    world = World(cash=10)
    world.count("2024-02-01 07:10", 100)
    waits = at("2024-02-01 08:00") + STRAGGLERS_WAIT_S
    assert world.billing.settle(waits - 1, lambda hour: False).settlements == 0
    assert world.billing.lag_s(waits - 1) == STRAGGLERS_WAIT_S - 1  # the alarm looks at this
    assert world.billing.settle(waits, lambda hour: False).settlements == 1
    assert world.billing.lag_s(waits) == 0


def test_b4_a_front_end_error_is_metered_and_costs_nothing() -> None:
    world = World(cash=10)
    for code in ("bad_request", "unauthorized", "forbidden", "rate_limited", "no_route", "account_suspended"):
        world.count("2024-02-01 07:10", 1000, f"frontend_error:{code}")
    assert world.settle("2024-02-01 08:00").settlements == 0


def test_b5_a_backend_error_is_a_valid_call() -> None:
    """It is counted as a call as well; the count of errors itself is no meter of the bill."""
    world = World(cash=10)
    world.count("2024-02-01 07:10", 1000)
    for code in ("backend_4xx", "backend_5xx", "bad_gateway", "gateway_timeout"):
        world.count("2024-02-01 07:10", 250, f"backend_error:{code}")
    world.settle("2024-02-01 08:00")
    assert [line["quantity"] for line in world.lines("2024-02")] == [1000]


def test_b6_a_websocket_is_no_call_but_its_bytes_are_egress() -> None:
    world = World(cash=10)
    world.count("2024-02-01 07:10", 1000, "websocket_connections")
    world.count("2024-02-01 07:10", GIB, "egress:client:internet:application")
    world.settle("2024-02-01 08:00")
    assert [(line["meter"], line["amount"]) for line in world.lines("2024-02")] == [("egress_client", "0.12000000")]


def test_b7_shared_egress_is_both_sides() -> None:
    document = account_of(RICH, use("2024-02-01 10:00", out_client=3 * GIB, out_backend=GIB), until="2024-02-01 11:00")
    assert lines(document, "2024-02", "meter", "amount") == [
        ("egress_client", "0.36000000"),
        ("egress_backend", "0.12000000"),
    ]


def test_b8_dedicated_egress_is_what_goes_to_clients() -> None:
    document = account_of(
        RICH,
        prepaid("2024-02-01 10:00"),
        use("2024-02-01 10:00", "d1", out_client=3 * GIB, out_backend=9 * GIB),
        until="2024-02-01 11:00",
    )
    assert lines(document, "2024-02", "meter", "amount") == [("egress_client", "0.36000000")]


@pytest.mark.parametrize(
    "meter", ["egress:client:vpc:application", "egress:backend:vpc:application", "ingress", "egress:client:vpc:wire"]
)
def test_b9_inner_traffic_and_what_comes_in_are_free_and_use_up_nothing(meter: str) -> None:
    world = World(cash=10, has_free_quota=True)
    world.count("2024-02-01 07:10", 50 * GIB, meter)
    assert world.settle("2024-02-01 08:00").settlements == 0
    assert {pack["used"] for pack in world.billing.packs("a", at("2024-02-01 08:00"))} == {0}


def test_b10_a_gb_is_two_to_the_thirtieth_bytes() -> None:
    document = account_of(RICH, use("2024-02-01 10:00", out_client=1024**4), until="2024-02-01 11:00")
    assert lines(document, "2024-02", "per", "amount") == [(1_073_741_824, "122.88000000")]  # 1 TB = 1024 GB


def test_b11_the_network_level_figure_is_another_counter_and_is_not_billed_beside() -> None:
    """Bytes with headers of packets are metered as `wire`; the price book's basis is billed, and only it (X16)."""
    world = World(cash=10)
    world.count("2024-02-01 07:10", 10 * GIB, "egress:client:internet:application")
    world.count("2024-02-01 07:10", 11 * GIB, "egress:client:internet:wire")
    world.settle("2024-02-01 08:00")
    assert [line["amount"] for line in world.lines("2024-02")] == ["1.20000000"]


def test_b12_egress_is_priced_in_the_region_of_the_instance() -> None:
    document = account_of(
        RICH,
        prepaid("2024-02-01 10:00", region="ap-hongkong"),
        use("2024-02-01 10:00", "d1", out_client=GIB),
        use("2024-02-01 10:00", out_client=GIB),
        until="2024-02-01 11:00",
    )
    assert lines(document, "2024-02", "instance", "region", "amount") == [
        ("d1", "ap-hongkong", "0.15000000"),
        ("s1", "ap-guangzhou", "0.12000000"),
    ]


@pytest.mark.parametrize(
    ("url", "network"),
    [
        ("http://10.1.2.3", "vpc"),
        ("http://172.31.255.255:80", "vpc"),
        ("http://192.168.0.9", "vpc"),
        ("http://127.0.0.1", "vpc"),
        ("http://[::1]", "vpc"),
        ("http://[fd00::1]", "vpc"),
        ("http://172.32.0.1", "internet"),
        ("http://8.8.8.8", "internet"),
        ("http://[2001:db8::1]", "internet"),
        ("https://backend.example.com", "internet"),
    ],
)
def test_b13_a_backend_is_on_the_internet_unless_its_address_is_an_inner_one(url: str, network: str) -> None:
    from gateway.control.snapshot import network_of

    assert network_of(url) == network


def test_b13_bytes_to_an_inner_backend_are_no_line() -> None:
    world = World(cash=10)
    world.count("2024-02-01 07:10", GIB, "egress:backend:internet:application")
    world.count("2024-02-01 07:10", 7 * GIB, "egress:backend:vpc:application")
    world.settle("2024-02-01 08:00")
    assert total(world.document(), "2024-02") == "0.12000000"


def test_l6_dedicated_instances_are_in_four_regions() -> None:
    regions = load_catalog().regions
    assert {id for id, region in regions.items() if region.dedicated} == {
        "ap-guangzhou", "ap-shanghai", "ap-beijing", "ap-hongkong",
    }  # fmt: skip
