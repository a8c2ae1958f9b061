"""FOCUS rows, explanations, statements and what-ifs of one eventful month. The amounts are worked out by hand."""

from decimal import Decimal
from typing import Any

import pytest

from billing import account_ledger
from billing.calendar import hour_of
from billing.errors import Refused
from billing.focus import COLUMNS, MANDATORY
from config.money import E8
from config.prices import load_price_book
from tests.billing.world import GIB, World, at

CLIENT = "egress:client:internet:application"


@pytest.fixture
def world() -> World:
    """In February 2024: 8 of 1000 calls of a pack of 2.00, 12 million calls, 10 GB, a voucher, a gift, a refund."""
    world = World(cash=100)
    billing, now = world.billing, at("2024-02-01 00:00")
    billing.top_up("a", gift=E8, now=now)
    billing.give_voucher("a", "v", E8 // 2, at("2024-03-01 00:00"), now)
    billing.buy_pack("a", "p", meter="calls", quantity=1000, months=1, price=2 * E8, now=now)
    billing.buy_pack("a", "q", meter="egress", quantity=9, months=1, price=E8, now=now)
    billing.refund_pack("q", now=now)
    world.count("2024-02-01 10:10", 8)
    world.settle("2024-02-01 11:00")
    world.count("2024-02-02 10:10", 12_000_992)
    world.count("2024-02-02 10:10", 10 * GIB, CLIENT)
    world.settle("2024-02-02 11:00")
    world.count("2024-02-02 10:10", 12_000_992 + 500)
    world.settle("2024-02-02 12:00")
    return world


def cost(rows: list[dict[str, Any]], column: str, **wanted: str) -> Decimal:
    return sum(
        (Decimal(row[column]) for row in rows if all(row[name] == value for name, value in wanted.items())), Decimal()
    )


def test_focus_has_every_mandatory_column_and_values_where_none_may_be_null(world: World) -> None:
    rows = world.billing.focus("a", "2024-02")
    assert len(MANDATORY) == 21
    for row in rows:
        assert tuple(row) == COLUMNS
        for column in MANDATORY:
            may_be_null = column == "ChargeClass" or (
                row["ChargeCategory"] in ("Credit", "Adjustment") and column in ("PricingQuantity", "PricingUnit")
            )
            assert may_be_null or row[column] is not None, column
        assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2024-01-31T16:00:00Z", "2024-02-29T16:00:00Z")
        assert all(name.startswith("x_") or name[0].isupper() for name in row)


def test_focus_billed_cost_adds_up_to_what_the_invoice_takes_from_cash_and_income(world: World) -> None:
    rows = world.billing.focus("a", "2024-02")
    paid = sum(
        Decimal(one[part])
        for one in (*world.billing.settlements("a"), *world.billing.orders("a"))
        for part in ("cash", "income")
    )
    assert cost(rows, "BilledCost", InvoiceId="a-2024-02") == paid
    # 8.90 + 200.05 × 0.0059, 1.20 of traffic, 2.00 for a pack, less a voucher of 0.50 and a gift of 1.00.
    assert paid == Decimal("11.78029500")


def test_focus_tells_usage_purchases_and_credits_apart(world: World) -> None:
    rows = world.billing.focus("a", "2024-02")
    assert cost(rows, "BilledCost", ChargeCategory="Usage") == Decimal("11.280295")
    assert cost(rows, "BilledCost", ChargeCategory="Purchase") == Decimal("2")
    assert cost(rows, "BilledCost", ChargeCategory="Credit") == Decimal("-1.5")
    drawn = [row for row in rows if row["x_PackId"] == "p"]
    # 8 and then 992 of 1000 calls of a pack of 2.00.
    assert [(row["BilledCost"], row["EffectiveCost"], row["ListCost"]) for row in drawn] == [
        ("0.00000000", "0.01600000", "0.00000712"),
        ("0.00000000", "1.98400000", "0.00088288"),
    ]
    traffic = next(row for row in rows if row["SkuId"] == "egress_client:ap-guangzhou")
    columns = ("PricingQuantity", "PricingUnit", "ConsumedQuantity", "ChargePeriodStart", "ChargePeriodEnd")
    assert [traffic[column] for column in columns] == [
        "10", "GiB", str(10 * GIB), "2024-02-02T02:00:00Z", "2024-02-02T03:00:00Z",
    ]  # fmt: skip


def test_focus_marks_corrections_of_closed_periods_only(world: World) -> None:
    world.count("2024-02-02 10:10", 20_000_000)
    world.settle("2024-03-03 00:00:01")
    [late] = world.billing.focus("a", "2024-03")
    assert (late["ChargeClass"], late["ChargePeriodStart"]) == ("Correction", "2024-02-02T02:00:00Z")
    assert {row["ChargeClass"] for row in world.billing.focus("a", "2024-02")} == {None}


def test_a_line_is_explained_down_to_its_counters(world: World) -> None:
    found = [
        (one["id"], one["cover"], one["tier"], one["quantity"]) for one in world.billing.bill_lines("a", "2024-02")
    ]
    assert [one[1:] for one in found] == [
        ("pack", 1, 8), ("pack", 1, 992), ("payg", 1, 10_000_000), ("payg", 2, 2_000_000), ("payg", None, 10 * GIB),
        ("payg", 2, 500),
    ]  # fmt: skip
    late = world.billing.explain(found[5][0])
    assert (late["revision"], late["line"]["late"]) == (2, True)
    assert late["counters"] == [{"writer": "w", "service": "x", "meter": "calls", "value": 12_001_492}]
    assert late["billed_by_other_lines"] + late["line"]["quantity"] == 12_001_492
    assert late["month"] == {
        "month": "2024-02",
        "quantity_before": 2_000_000,
        "amount_before": "1.18000000",
        "amount_after": "1.18029500",
        "calls_before": 12_000_000,
    }
    assert late["price"]["tiers"] == [[10_000_000, "0.0089"], [100_000_000, "0.0059"], [None, "0.0045"]]
    covered = world.billing.explain(found[1][0])
    assert (covered["pack"]["id"], covered["pack"]["used"]) == ("p", 1000)
    assert "month" not in covered


def test_an_unknown_line_is_refused(world: World) -> None:
    with pytest.raises(Refused, match="not_found"):
        world.billing.explain(10**6)


def test_the_statement_adds_up(world: World) -> None:
    page = world.billing.statement("a", "2024-02", at("2024-02-20 00:00"))
    # Usage, and 2.00 for a pack; another was given back.
    assert (page["total"], page["total_shown"], page["state"]) == ("13.28029500", "13.28", "open")
    assert (page["usage_total"], page["orders_total"]) == ("11.28029500", "2.00000000")
    assert (page["number"], page["issued_at"]) == ("a-2024-02", "2024-02-19T16:00:00Z")
    assert sum(Decimal(charge["amount"]) for charge in page["charges"]) == Decimal(page["usage_total"])
    assert sum(Decimal(part) for part in page["paid"].values()) == Decimal(page["usage_total"])
    # 100.00 and what was topped up, less what was paid in money: all but the voucher's 0.50.
    assert page["top_ups"] == [
        {"at": "2024-01-31T16:00:00Z", "cash": "0.00000000", "income": "0.00000000", "gift": "1.00000000"}
    ]
    assert (page["opening_balance"], page["vouchers"]) == ("100.00000000", "0.50000000")
    assert page["closing_balance"] == page["balance"] == "88.21970500"
    assert [(pack["id"], pack["drawn"], pack["left"]) for pack in page["packs"]] == [("p", 1000, 0)]
    assert page["tier"] == {"paid_calls": 12_000_500, "tier": 2}
    assert [order["ref"] for order in page["orders"]] == ["p", "q", "q"]
    assert world.billing.statement("a", "2024-02", at("2024-03-03 00:00:01"))["state"] == "closed"


def test_a_statement_counts_an_hour_with_its_month_whenever_it_was_settled() -> None:
    """The last hour of January is settled in February; both months add up, and one begins where the other ended."""
    world = World(cash=10, currency="JPY")
    world.count("2024-01-31 23:30", 10 * GIB, CLIENT)
    world.settle("2024-02-01 00:00:35")
    world.billing.top_up("a", cash=5 * E8, income=E8, now=at("2024-02-01 00:10"))
    january, february = (
        world.billing.statement("a", month, at("2024-02-02 00:00")) for month in ("2024-01", "2024-02")
    )
    assert (january["opening_balance"], january["total"], january["closing_balance"]) == (
        "0.00000000", "1.20000000", "8.80000000",
    )  # fmt: skip
    assert (february["opening_balance"], february["closing_balance"]) == ("8.80000000", "14.80000000")
    assert [one["cash"] for one in january["top_ups"]] == ["10.00000000"], "what an account is opened with, too"
    assert january["total_shown"] == "1", "yen have no decimals"


def test_an_accounts_ledger_is_its_transfers_page_by_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, following = world.billing.transfers("a")
    assert following is None
    first = at("2024-02-01 00:00")
    assert {one["kind"] for one in world.billing.transfers("a", first, first + 1)[0]} == {"top_up", "pack", "refund"}
    monkeypatch.setattr(account_ledger, "TRANSFERS_MAX", 4)
    found: list[Any] = []
    after: int | None = 0
    while after is not None:
        page, after = world.billing.transfers("a", after=after)
        assert len(page) <= 4
        found += page
    assert found == whole
    sums: dict[str, Decimal] = {}
    for one in whole:
        sums[one["debit"]] = sums.get(one["debit"], Decimal()) - Decimal(one["amount"])
        sums[one["credit"]] = sums.get(one["credit"], Decimal()) + Decimal(one["amount"])
    wallet = world.document()["wallet"]
    assert {name: sums.get(name, Decimal()) for name in ("cash", "gift", "income")} == {
        name: Decimal(wallet[name]) for name in ("cash", "gift", "income")
    }
    world.billing.open_account("ab", at("2024-01-01 00:00"))
    assert world.billing.transfers("ab") == ([], None)
    with pytest.raises(Refused, match="not_found"):
        world.billing.transfers("nobody")


def test_lines_say_who_paid_them_and_when(world: World) -> None:
    lines = world.billing.bill_lines("a", "2024-02")
    settlements = world.billing.settlements("a")
    for part in ("voucher", "gift", "income", "cash"):
        assert sum(Decimal(line[part]) for line in lines) == sum(Decimal(one[part]) for one in settlements)
    for line in lines:
        parts = sum(Decimal(line[part]) for part in ("voucher", "gift", "income", "cash"))
        assert parts == Decimal(line["amount"])
    assert [line["settled_at"] for line in lines][-1] == "2024-02-02T04:00:00Z"


def test_what_if_another_book_pack_or_kind_of_instance(world: World) -> None:
    now = at("2024-03-10 00:00")
    usual = world.billing.what_if("a", "2024-02", now=now)
    assert (usual["actual"], usual["difference"]) == ("11.28029500", "0.00000000")
    # 1000 × 0.06 + 200.05 × 0.04 + 10 × 0.80.
    yuan = world.billing.what_if("a", "2024-02", book=load_price_book("cny"), now=now)
    assert (yuan["what_if"], yuan["currency"]) == ("76.00200000", "CNY")
    # Another pack of 2,000,500 calls for 1.00 saves tier 2; of the first pack 1000 were free as before.
    packed = world.billing.what_if("a", "2024-02", pack=("calls", 2_000_500, 1, E8), now=now)
    assert packed["what_if"] == "11.10000000"
    # Dedicated: traffic to clients, and 29 days by the second.
    dedicated = world.billing.what_if("a", "2024-02", spec="dedicated-2500", now=now)
    assert dedicated["what_if"] == f"{Decimal('1.20') + 29 * 86_400 * Decimal('0.00013889'):.8f}"
    before = world.billing.account("a", now)
    assert world.billing.account("a", now) == before


def test_reconcile_marks_again_what_was_not_billed() -> None:
    from sqlalchemy import delete

    from metering.database import transaction
    from metering.tables import dirty

    world = World(cash=1)
    world.count("2024-02-01 10:10", 7)
    with transaction(world.engine) as connection:
        connection.execute(delete(dirty))  # A mark is lost, whatever the cause.
    assert world.settle("2024-02-01 11:00").settlements == 0
    hour = hour_of(at("2024-02-01 10:00"))
    assert world.billing.reconcile(repair=True) == [f"('a', {hour}, 's1', 'calls'): counted 7, billed 0"]
    assert world.settle("2024-02-01 11:00").settlements == 1
    assert world.billing.reconcile() == []
