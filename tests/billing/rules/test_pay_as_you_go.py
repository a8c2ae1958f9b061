"""RULES A.3, B21 to B27: prices, tiers, regions. The amounts are worked out by hand."""

import pytest

from tests.billing.rules.bill import lines, steps, total
from tests.billing.world import GIB, account_of, simulate, top_up, use

RICH = top_up("2024-02-01 00:00", "1000.00")


@pytest.mark.parametrize(
    ("before", "calls", "expected"),
    [
        (0, 10_000_000, [(1, "8.90000000")]),
        (10_000_000, 1, [(2, "0.00000059")]),
        (9_999_999, 1, [(1, "0.00000089")]),
        (100_000_000, 1, [(3, "0.00000045")]),
        (99_999_999, 1, [(2, "0.00000059")]),
        (5_000_000, 200_000_000, [(1, "4.45000000"), (2, "53.10000000"), (3, "47.25000000")]),
    ],
)
def test_b21_graduated_tiers_whose_upper_bound_belongs_to_them(
    before: int, calls: int, expected: list[tuple[int, str]]
) -> None:
    document = account_of(
        RICH, use("2024-02-01 10:00", calls=before), use("2024-02-01 11:00", calls=calls), until="2024-02-01 12:00"
    )
    found = lines(document, "2024-02", "hour", "tier", "amount")
    assert [(tier, amount) for hour, tier, amount in found if hour == "2024-02-01T03:00:00Z"] == expected


def test_b22_the_ladder_is_the_accounts_and_begins_anew_each_natural_month() -> None:
    document = account_of(
        RICH,
        use("2024-02-29 23:59:59", calls=10_000_000),
        use("2024-03-01 00:00:00", calls=10_000),
        until="2024-03-02 00:00",
    )
    assert lines(document, "2024-02", "tier", "amount") == [(1, "8.90000000")]
    assert lines(document, "2024-03", "tier", "amount") == [(1, "0.00890000")]


def test_b23_traffic_has_a_price_in_each_region_and_no_tiers() -> None:
    document = account_of(RICH, use("2024-02-01 10:00", out_client=2000 * GIB), until="2024-02-01 12:00")
    assert lines(document, "2024-02", "unit_price", "tier", "amount") == [("0.12", None, "240.00000000")]


def test_b24_there_is_no_rounding_up_to_a_gigabyte() -> None:
    document = account_of(RICH, use("2024-02-01 10:00", out_client=GIB + 200 * 2**20), until="2024-02-01 12:00")
    assert total(document, "2024-02") == "0.14343750"


def test_b25_a_bill_is_paid_in_full_and_the_balance_may_go_below_zero() -> None:
    document = account_of(
        top_up("2024-02-01 00:00", "1.00"), use("2024-02-01 10:00", out_client=10 * GIB), until="2024-02-01 12:00"
    )
    assert document["wallet"]["cash"] == "-0.20000000"
    assert steps(document) == [("arrears", "2024-02-01T03:00:00Z")]


def test_b26_a_purchase_in_another_currency_is_refused_and_nothing_is_converted() -> None:
    wish = {"do": "buy_pack", "account": "a", "id": "p", "meter": "calls", "quantity": 5, "months": 1, "price": "1.00"}
    output = simulate(RICH, {"at": "2024-02-01 10:00", **wish}, until="2024-02-02 00:00", currency="CNY")
    assert output["refused"] == [{"event": 1, "reason": "currency_unsupported"}]
    assert output["accounts"]["a"]["wallet"]["cash"] == "1000.00000000"


def test_b27_one_line_for_each_tier_that_the_hour_touches() -> None:
    document = account_of(RICH, use("2024-02-01 10:00", calls=100_000_001), until="2024-02-01 12:00")
    assert lines(document, "2024-02", "tier", "quantity", "amount") == [
        (1, 10_000_000, "8.90000000"),
        (2, 90_000_000, "53.10000000"),
        (3, 1, "0.00000045"),
    ]
