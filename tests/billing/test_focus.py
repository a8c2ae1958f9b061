"""The FOCUS export of random histories: every row by the rules, and sums that agree with the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from billing.errors import Refused
from billing.focus import COLUMNS
from billing.rating import Tier
from config.money import E8
from tests.billing.focus_rules import Row, breaches
from tests.billing.world import GIB, World, at, count_rows

CLIENT = "egress:client:internet:application"
HOUR = 3600
BEGIN, DAYS = at("2024-01-20 00:00"), 70
END = at("2024-09-01 00:00")  # when all packs and terms have ended


class Life:
    """Some months of an account, by a seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.world = World(cash=5, has_free_quota=self.random.random() < 0.3)
        self.billing = self.world.billing
        self.now = BEGIN
        self.counted: defaultdict[tuple[str, int, str], int] = defaultdict(int)
        self.names = 0
        acts: list[Callable[[], Any]] = [
            *(self.use, self.use, self.use, self.top_up, self.pack, self.pack, self.refund_pack, self.voucher),
            *(self.prepaid, self.renew, self.refund_instance, self.payg, self.release, self.price, self.adjust),
        ]
        while self.now < BEGIN + DAYS * 24 * HOUR:
            self.now += self.random.randrange(40 * HOUR)
            try:
                self.random.choice(acts)()
            except Refused:
                continue
            if self.random.random() < 0.7:
                self.billing.settle(self.now, lambda hour: True)
        self.billing.settle(END, lambda hour: True)
        while self.billing.next_instant() is not None and self.billing.next_instant() <= END:  # type: ignore[operator]
            self.billing.settle(END, lambda hour: True)

    def name(self, kind: str) -> str:
        self.names += 1
        return f"{kind}{self.names}"

    def cents(self, most: int) -> int:
        return self.random.randrange(1, most) * E8 // 100 + self.random.randrange(3)

    def use(self) -> None:
        hour = self.now // HOUR - self.random.choice([0, 1, 1, 30, 900])
        instance = self.random.choice(["s1", *(one["id"] for one in self.billing.instances("a"))])
        for meter, most in (("calls", 15_000_000), (CLIENT, 7 * GIB)):
            self.counted[instance, hour, meter] += self.random.randrange(most)
        values = {meter: self.counted[instance, hour, meter] for meter in ("calls", CLIENT)}
        if hour * HOUR >= self.world.opened_at:
            count_rows(self.world.engine, hour, values, instance=instance)

    def top_up(self) -> None:
        self.billing.top_up("a", cash=self.cents(3000), gift=self.cents(200), now=self.now)

    def voucher(self) -> None:
        self.billing.give_voucher("a", self.name("v"), self.cents(300), self.now + 20 * 24 * HOUR, self.now)

    def pack(self) -> None:
        sizes = {"calls": self.random.randrange(1, 9_000_000), "egress": self.random.randrange(1, 9 * GIB)}
        meters = self.random.choice([["calls"], ["egress"], ["calls", "egress"]])
        units, price = {meter: sizes[meter] for meter in meters}, self.cents(500)
        self.billing.buy_pack("a", self.name("p"), meters=units, months=1, price=price, now=self.now)

    def some(self, found: list[dict[str, Any]]) -> str:
        return str(self.random.choice(found)["id"]) if found else "none"

    def refund_pack(self) -> None:
        self.billing.refund_pack(self.some(self.billing.packs("a", self.now)[-3:]), now=self.now)

    def prepaid(self) -> None:
        wish = {"spec": self.random.choice(["dedicated-2500", "dedicated-5000"]), "region": "ap-guangzhou"}
        months, price = self.random.randrange(1, 4), self.cents(1000)
        self.billing.buy_instance("a", self.name("d"), months=months, price=price, now=self.now, **wish)

    def payg(self) -> None:
        wish = {"spec": self.random.choice(["dedicated-2500", "dedicated-5000"]), "region": "ap-hongkong"}
        price = self.random.randrange(1, 900)
        self.billing.buy_instance("a", self.name("d"), price=price, now=self.now, **wish)

    def renew(self) -> None:
        self.billing.renew_instance(self.some(self.billing.instances("a")), months=1, now=self.now)

    def refund_instance(self) -> None:
        self.billing.refund_instance(self.some(self.billing.instances("a")), now=self.now)

    def release(self) -> None:
        self.billing.release_instance(self.some(self.billing.instances("a")), now=self.now)

    def price(self) -> None:
        tiers = [Tier(5_000_000, self.cents(3)), Tier(None, self.cents(2))]
        self.billing.change_price("calls", None, tiers, self.now)

    def adjust(self) -> None:
        wish = {"instance": "s1", "meter": "calls", "amount_e8": self.cents(20), "reason": "SLA credit"}
        self.billing.adjust("a", hour=self.now // HOUR - 5, now=self.now, **wish)

    def months(self) -> list[str]:
        return [f"2024-{month:02d}" for month in range(1, 10)]

    def rows(self) -> list[Row]:
        return [row for month in self.months() for row in self.billing.focus("a", month, END)]


def total(rows: list[Row], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in rows), Decimal())


@pytest.mark.parametrize("seed", range(25))
def test_rows_are_by_the_rules_and_add_up(seed: int) -> None:
    life = Life(seed)
    rows = life.rows()
    assert rows and all(tuple(row) == COLUMNS for row in rows)
    assert [(breach, row) for row in rows for breach in breaches(row)] == []

    # An invoice is what of its month is paid from cash and income.
    months = life.world.billing.calendar
    paid: defaultdict[str, Decimal] = defaultdict(Decimal)
    for one in life.billing.settlements("a"):
        paid[f"a-{one['bill_month']}"] += Decimal(one["cash"]) + Decimal(one["income"])
    with_orders = [
        (months.month_of(at(one["at"][:-1].replace("T", " ")) + 8 * HOUR), one) for one in life.billing.orders("a")
    ]
    for month, one in with_orders:
        paid[f"a-{month}"] += Decimal(one["cash"]) + Decimal(one["income"])
    billed = {invoice: total([row for row in rows if row["InvoiceId"] == invoice], "BilledCost") for invoice in paid}
    assert billed == paid

    # Over its life a commitment's cost is effective, all of it and no more.
    by_commitment: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["CommitmentDiscountId"] is not None:
            by_commitment[row["CommitmentDiscountId"]].append(row)
    for id, of_one in by_commitment.items():
        assert total(of_one, "EffectiveCost") == total(of_one, "BilledCost"), id
        units = {row["CommitmentDiscountUnit"] for row in of_one}
        bought = total([row for row in of_one if row["ChargeCategory"] == "Purchase"], "CommitmentDiscountQuantity")
        drawn = total(
            [row for row in of_one if row["CommitmentDiscountStatus"] == "Used"], "CommitmentDiscountQuantity"
        )
        assert len(units) == 1 and 0 <= drawn <= max(bought, drawn)
    assert total(rows, "EffectiveCost") == total(rows, "BilledCost"), "and so is everything"

    # A price point belongs to one thing that is sold.
    skus: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        skus[row["SkuPriceId"]].add(row["SkuId"])
    assert all(len(of_price) == 1 for price, of_price in skus.items() if price is not None)


@pytest.mark.parametrize("seed", range(10))
def test_statements_add_up_and_each_begins_where_the_one_before_ended(seed: int) -> None:
    life = Life(seed)
    balance = Decimal()
    for month in life.months():
        page = life.billing.statement("a", month, END)
        assert Decimal(page["opening_balance"]) == balance
        paid_in = sum(Decimal(one[bucket]) for one in page["top_ups"] for bucket in ("cash", "income", "gift"))
        balance += paid_in - Decimal(page["total"]) + Decimal(page["vouchers"])
        assert Decimal(page["closing_balance"]) == balance
    assert balance == Decimal(page["balance"])


def test_histories_have_every_kind_of_row() -> None:
    """Else the rules were held against too little."""
    rows = [row for seed in range(25) for row in Life(seed).rows()]
    seen = {(row["ChargeCategory"], row["PricingCategory"], row["CommitmentDiscountStatus"]) for row in rows}
    assert seen == {
        ("Usage", "Standard", None), ("Usage", "Committed", "Used"), ("Usage", "Committed", "Unused"),
        ("Purchase", "Standard", None), ("Credit", None, None), ("Adjustment", None, None),
    }  # fmt: skip
    assert {row["ChargeClass"] for row in rows} == {None, "Correction"}
    assert {row["ChargeDescription"].split()[0] for row in rows if row["ChargeCategory"] == "Purchase"} == {
        "Purchase", "Refund",
    }  # fmt: skip
    assert {row["RegionName"] for row in rows if row["RegionId"] == "ap-guangzhou"} == {"Guangzhou"}


def test_a_refunded_pack_costs_nothing_and_an_expired_one_what_it_did() -> None:
    world = World(cash=10)
    for id in ("given-back", "kept"):
        now = at("2024-02-01 10:20")
        world.billing.buy_pack("a", id, meter="calls", quantity=1000, months=1, price=350 * E8 // 100, now=now)
    world.billing.refund_pack("given-back", now=at("2024-02-01 10:30"))
    world.count("2024-02-02 10:10", 250)
    world.settle("2024-02-02 11:00")

    def effective(month: str, id: str) -> list[tuple[str, str | None, str, str]]:
        rows = world.billing.focus("a", month, at("2024-04-01 00:00"))
        columns = ("ChargeDescription", "CommitmentDiscountStatus", "BilledCost", "EffectiveCost")
        return [tuple(row[name] for name in columns) for row in rows if row["CommitmentDiscountId"] == id]  # type: ignore[misc]

    assert effective("2024-02", "given-back") == [
        ("Purchase of given-back", None, "3.50000000", "0.00000000"),
        ("Refund of given-back", None, "-3.50000000", "0.00000000"),
    ]
    assert effective("2024-02", "kept") == [
        ("Calls of s1", "Used", "0.00000000", "0.87500000"),
        ("Purchase of kept", None, "3.50000000", "0.00000000"),
    ]
    assert effective("2024-03", "kept") == [("Unused rest of kept", "Unused", "0.00000000", "2.62500000")]
    assert world.billing.focus("a", "2024-03", at("2024-03-02 10:59")) == [], "as long as it may be drawn on"


def test_a_purchase_lasts_as_long_as_what_was_bought() -> None:
    world = World(cash=1000)
    now = at("2024-01-31 12:30")
    world.billing.buy_instance("a", "d", spec="dedicated-2500", region="ap-guangzhou", months=1, price=10 * E8, now=now)
    world.billing.renew_instance("d", months=2, now=now)
    world.billing.buy_pack("a", "p", meter="egress", quantity=GIB, months=1, price=E8, now=now)
    rows = world.billing.focus("a", "2024-01")
    columns = ("ChargePeriodStart", "ChargePeriodEnd", "PricingQuantity", "PricingUnit", "ListUnitPrice", "SkuId")
    assert [tuple(row[name] for name in columns) for row in rows] == [
        ("2024-01-31T04:30:00Z", "2024-02-29T04:30:00Z", "1", "Months", "10.00000000",
         "instance_term:dedicated-2500:ap-guangzhou"),
        ("2024-02-29T04:30:00Z", "2024-04-30T04:30:00Z", "2", "Months", "10.00000000",
         "instance_term:dedicated-2500:ap-guangzhou"),
        ("2024-01-31T04:00:00Z", "2024-03-01T05:00:00Z", "1", "Packs", "1.00000000", "pack:egress:1073741824:1m"),
    ]  # fmt: skip


def test_a_price_point_outlives_its_price_and_is_of_one_spec() -> None:
    world = World(cash=1000)
    world.count("2024-02-01 10:10", 10)
    world.settle("2024-02-01 11:00")
    world.billing.change_price("calls", None, [Tier(None, E8)], at("2024-02-01 12:00"))
    world.count("2024-02-01 13:10", 10)
    for spec in ("dedicated-2500", "dedicated-5000"):
        now = at("2024-02-01 13:00")
        world.billing.buy_instance("a", spec, spec=spec, region="ap-guangzhou", price=100, now=now)
    world.settle("2024-02-01 14:00")
    rows = world.billing.focus("a", "2024-02")
    assert [row["SkuPriceId"] for row in rows if row["SkuId"] == "calls:ap-guangzhou"] == [
        "calls:ap-guangzhou:tier1"
    ] * 2
    assert {row["SkuPriceId"] for row in rows} == {
        "calls:ap-guangzhou:tier1",
        "instance_seconds:dedicated-2500:ap-guangzhou",
        "instance_seconds:dedicated-5000:ap-guangzhou",
    }
