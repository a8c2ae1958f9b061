"""The product and `model_account.py` side by side, through random lives of an account: they never differ.

Everything that can be asked and everything that time brings: money, vouchers, packs, instances, usage in time and late,
price changes, jumps of the clock over hours and weeks.
"""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from billing.errors import Refused
from billing.rating import Tier
from config.money import E8, parse_e8
from tests.billing.model import GIB, HOUR, Model
from tests.billing.model_account import DAY, ModelAccount
from tests.billing.world import World, at, count_rows

METERS = {
    "calls": "calls",
    "out_client": "egress:client:internet:application",
    "out_backend": "egress:backend:internet:application",
}
# Small tiers and dear gigabytes: bounds are met, and money runs out.
TIERS = [(40, "0.89"), (90, "0.59"), (None, "0.45")]
EXAMPLES = int(os.environ.get("TOLLGATE_TEST_LIVES", "25"))  # 10,000 by hand

cents = st.integers(0, 400).map(lambda number: number * E8 // 100 + number % 3)
names = st.sampled_from(["x", "y", "z"])
minutes = st.integers(0, 59)


class Lives(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        now = at("2024-01-30 12:00")
        self.world = World()
        self.world.opened_at = now
        self.billing = self.world.billing
        self.totals: dict[tuple[str, int], int] = {}
        self.pending: dict[int, list[tuple[str, int, int]]] = {}
        self.now = now
        self.change(self.now - 1, "calls", None, TIERS)
        rates = Model(
            [
                (0, "calls", None, [(up_to, Fraction(price)) for up_to, price in TIERS]),
                (0, "egress", "ap-guangzhou", [(None, Fraction("0.12"))]),
            ]
        )
        self.model = ModelAccount(rates, now, state_at=now)
        self.billing.settle(now, lambda hour: True)

    def change(self, now: int, sku: str, region: str | None, tiers: Any) -> None:
        ladder = [Tier(up_to, parse_e8(price)) for up_to, price in tiers]
        self.billing.change_price(sku, region, ladder, now)

    def both(self, operation: Any, expected: str | None) -> None:
        """What the product answers is what the model did."""
        try:
            operation()
            code = None
        except Refused as refused:
            code = refused.code
        assert code == expected, (code, expected)

    @rule(cash=cents, gift=cents, income=cents)
    def top_up(self, cash: int, gift: int, income: int) -> None:
        self.billing.top_up("a", cash=cash, gift=gift, income=income, now=self.now)
        self.model.top_up(cash=cash, gift=gift, income=income)

    @rule(amount=cents, lasts=st.integers(0, 20 * DAY))
    def voucher(self, amount: int, lasts: int) -> None:
        id = f"v{len(self.model.vouchers)}"
        expected = self.model.give_voucher(amount, self.now + lasts)
        self.both(lambda: self.billing.give_voucher("a", id, amount, self.now + lasts, self.now), expected)

    @rule(meter=st.sampled_from(["calls", "egress"]), size=st.integers(1, 99), price=cents)
    def buy_pack(self, meter: str, size: int, price: int) -> None:
        id = f"p{len(self.model.packs)}"
        quantity = size if meter == "calls" else size * GIB // 20
        wish = {"meter": meter, "quantity": quantity, "months": 1, "price": price, "now": self.now}
        self.both_after(
            lambda: self.billing.buy_pack("a", id, **wish), lambda: self.model.buy_pack(id, meter, quantity, price)
        )

    def both_after(self, operation: Any, modelled: Any) -> None:
        self.both(operation, modelled())
        self.model.look()

    @rule(number=st.integers(0, 5))
    def refund_pack(self, number: int) -> None:
        id = f"p{number}"
        self.both_after(lambda: self.billing.refund_pack(id, now=self.now), lambda: self.model.refund_pack(id))

    @rule(id=names, kind=st.sampled_from(["payg", "prepaid"]), price=st.integers(1, 300))
    def buy_instance(self, id: str, kind: str, price: int) -> None:
        if id in self.model.instances:
            return
        price = price * 100 if kind == "payg" else price * E8 // 100
        wish = {"spec": "dedicated-2500", "region": "ap-guangzhou", "price": price, "now": self.now}
        months = None if kind == "payg" else 1
        self.both_after(
            lambda: self.billing.buy_instance("a", id, months=months, **wish),
            lambda: self.model.buy_instance(id, kind, price),
        )

    @rule(id=names)
    def release(self, id: str) -> None:
        self.both_after(lambda: self.billing.release_instance(id, now=self.now), lambda: self.model.release(id))

    @rule(id=names)
    def refund_instance(self, id: str) -> None:
        self.both_after(lambda: self.billing.refund_instance(id, now=self.now), lambda: self.model.refund_instance(id))

    @rule(
        units=st.tuples(st.integers(0, 60), st.integers(0, 3 * GIB), st.integers(0, 5000)),
        late=st.sampled_from([0, 0, 1, 7, 40]),
    )
    def use(self, units: tuple[int, int, int], late: int) -> None:
        arrives = self.now + late * HOUR
        for meter, number in zip(METERS, units, strict=True):
            expected = self.model.use(self.now, meter, number, arrives)
            self.both(lambda: self.billing.require_service("s1"), expected)
            if expected is None and number:
                tick = max(self.now // HOUR + 1, -(-arrives // HOUR))
                self.pending.setdefault(tick, []).append((METERS[meter], self.now // HOUR, number))

    @rule(is_calls=st.booleans(), price=st.sampled_from(["0.07", "1.00000001", "0.5"]))
    def price(self, is_calls: bool, price: str) -> None:
        hour = -(-self.now // HOUR)
        if is_calls:
            self.change(self.now, "calls", None, [(30, price), (None, "0.45")])
            self.model.rates.prices.append((hour, "calls", None, [(30, Fraction(price)), (None, Fraction("0.45"))]))
        else:
            self.change(self.now, "egress", "ap-guangzhou", [(None, price)])
            self.model.rates.prices.append((hour, "egress", "ap-guangzhou", [(None, Fraction(price))]))

    @rule(hours=st.sampled_from([0, 1, 1, 2, 3, 24, 25, 170, 800]), minute=minutes, second=minutes)
    def wait(self, hours: int, minute: int, second: int) -> None:
        to = (self.now // HOUR + hours) * HOUR + minute * 60 + second
        if to <= self.now:
            return
        while True:
            due = self.billing.next_instant()
            ticks = [tick * HOUR for tick in self.pending]
            instant = min([to + 1, *ticks, *([due] if due is not None else [])])
            if instant > to:
                break
            instant = max(instant, self.now)
            if instant % HOUR == 0:
                self.deliver(instant // HOUR)
            self.billing.settle(instant, lambda hour: True)
        self.now = to
        self.model.advance(to)

    def deliver(self, tick: int) -> None:
        for meter, hour, units in self.pending.pop(tick, []):
            self.totals[meter, hour] = self.totals.get((meter, hour), 0) + units
            count_rows(self.world.engine, hour, {meter: self.totals[meter, hour]})

    @invariant()
    def they_agree(self) -> None:
        document, model = self.billing.account("a", self.now), self.model
        assert document["state"] == model.state
        wallet = {bucket: parse_e8(text, signed=True) for bucket, text in document["wallet"].items()}
        assert wallet == {**model.money, "held": model.held()}
        assert {p["id"]: (p["total"] - p["used"], p["state"] == "refunded") for p in document["packs"]} == {
            id: (pack.left, id in model.refunded) for id, (pack, _, _) in model.packs.items()
        }
        assert [parse_e8(v["left"]) for v in document["vouchers"]] == [v.left for v in model.vouchers]
        assert {i["id"]: i["state"] for i in document["instances"] if i["id"] != "s1"} == {
            id: one.state for id, one in model.instances.items()
        }

    def teardown(self) -> None:
        if hasattr(self, "world"):
            assert self.billing.reconcile() == []
            assert self.billing.settle(self.now, lambda hour: True).settlements == 0
            self.world.engine.dispose()


TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
