"""What an hour comes to, and who pays it, depends on the hour: not on when the settler comes by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.calendar import HOUR_S
from billing.errors import Refused
from billing.rating import Tier
from config.money import E8
from tests.billing.world import GIB, World, at, count_rows

CLIENT = "egress:client:internet:application"
# Over the end of a month, which is the end of a free period too; and short of a day, so that nobody is suspended.
BEGIN = at("2024-01-31 12:00")
HOURS = 23


@pytest.mark.parametrize("settled_at", ["11:00:00", "11:00:35", "11:21:00", "14:00:00"])
@pytest.mark.parametrize(("expires_at", "left"), [("11:00:00", "0.00000000"), ("11:15:00", "0.00000000"),
                                                  ("10:59:59", "0.10000000")])  # fmt: skip
def test_a_voucher_pays_for_the_hours_that_end_before_it_does(settled_at: str, expires_at: str, left: str) -> None:
    world = World(cash=1)
    world.billing.give_voucher("a", "v", E8 // 10, at(f"2024-02-01 {expires_at}"), at("2024-02-01 00:00"))
    world.count("2024-02-01 10:10", GIB, CLIENT)
    world.settle(f"2024-02-01 {settled_at}")
    assert world.document()["vouchers"][0]["left"] == left


def test_a_voucher_pays_for_late_usage_of_its_time() -> None:
    world = World(cash=1)
    world.billing.give_voucher("a", "v", E8 // 10, at("2024-02-01 11:00"), at("2024-02-01 00:00"))
    world.settle("2024-02-01 12:00")
    world.count("2024-02-01 10:10", GIB, CLIENT)
    world.settle("2024-02-03 12:00")
    assert world.document()["vouchers"][0]["left"] == "0.00000000"


@pytest.mark.parametrize("is_settled", [True, False])
def test_a_pack_that_was_used_in_an_hour_that_is_over_is_not_given_back(is_settled: bool) -> None:
    world = World(cash=10)
    world.billing.buy_pack("a", "p", meter="calls", quantity=9, months=1, price=E8, now=at("2024-02-01 10:00"))
    world.count("2024-02-01 10:10", 5)
    if is_settled:
        world.settle("2024-02-01 11:00")
    with pytest.raises(Refused, match="pack_used"):
        world.billing.refund_pack("p", now=at("2024-02-01 11:10"))
    # Its own hour may be under way (X32), and the turn itself comes before the settlement (P9).
    world.billing.buy_pack("a", "q", meter="calls", quantity=9, months=1, price=E8, now=at("2024-02-01 11:20"))
    world.count("2024-02-01 11:30", 5)
    world.billing.refund_pack("q", now=at("2024-02-01 12:00"))
    world.settle("2024-02-01 12:00")
    assert world.billing.reconcile() == []


@dataclass(frozen=True)
class Act:
    """At `second` of the history the desk is asked for `what`, with an `amount`."""

    second: int
    what: str
    amount: int


acts = st.builds(
    Act,
    st.integers(0, HOURS * HOUR_S - 1),
    st.sampled_from(["top_up", "gift", "voucher", "calls_pack", "egress_pack", "refund", "price", "payg", "release"]),
    st.integers(1, 40),
)
use = st.tuples(st.integers(0, HOURS - 1), st.integers(0, 1_200_000), st.integers(0, 2 * GIB))


def told(world: World) -> dict[str, Any]:
    """All that money came to; not when."""
    document = world.document()
    settlements = [
        {name: value for name, value in one.items() if name not in ("at", "late")}
        for one in world.billing.settlements()
    ]
    bills = {
        month: [{name: value for name, value in line.items() if name != "late"} for line in bill["lines"]]
        for month, bill in document["bills"].items()
    }
    kept = ("state", "wallet", "packs", "vouchers", "orders", "instances")
    return {"settlements": settlements, "bills": bills, **{name: document[name] for name in kept}}


class History:
    """One account's day, settled as the settler comes by; what is asked for finds the hours settled that it came to."""

    def __init__(self, uses: list[tuple[int, int, int]], asked: list[Act], visits: set[int]) -> None:
        self.world = World(cash=1, activated_at=at("2023-02-28 09:30"), has_free_quota=True)
        self.world.settle("2024-01-31 12:00")
        self.uses, self.visits = uses, visits
        self.settled_to = 0
        for act in sorted(asked, key=lambda act: act.second):
            # The settler was here before the act at the latest: what happens in between is another history.
            self.settle_until(act.second)
            self.carry_out(act)
        self.settle_until(HOURS * HOUR_S + HOUR_S)

    def settle_until(self, second: int) -> None:
        for visit in sorted(visit for visit in self.visits if self.settled_to < visit < second):
            self.settle(visit)
        self.settle(second)

    def settle(self, second: int) -> None:
        for hour, calls, egress in [one for one in self.uses if (one[0] + 1) * HOUR_S <= second]:
            count_rows(self.world.engine, BEGIN // HOUR_S + hour, {"calls": calls, CLIENT: egress})
        self.uses = [one for one in self.uses if (one[0] + 1) * HOUR_S > second]
        self.world.billing.settle(BEGIN + second, lambda hour: True)
        self.settled_to = second

    def carry_out(self, act: Act) -> None:
        billing, now, amount_e8 = self.world.billing, BEGIN + act.second, act.amount * E8 // 100
        id = f"{act.what}-{act.second}-{act.amount}"
        pack = {"quantity": act.amount * 1000, "months": 1, "price": amount_e8, "now": now}
        try:
            match act.what:
                case "top_up":
                    billing.top_up("a", cash=amount_e8, now=now)
                case "gift":
                    billing.top_up("a", gift=amount_e8, now=now)
                case "voucher":
                    billing.give_voucher("a", id, amount_e8, now + act.amount * 300, now)
                case "calls_pack" | "egress_pack":
                    billing.buy_pack("a", id, meter=act.what.partition("_")[0], **pack)
                case "refund":
                    packs = [one["id"] for one in billing.packs("a", now) if one["source"] == "purchase"]
                    if packs:
                        billing.refund_pack(packs[act.amount % len(packs)], now=now)
                case "price":
                    billing.change_price("calls", None, [Tier(None, act.amount * E8 // 1000)], now)
                case "payg":
                    region = "ap-guangzhou"
                    billing.buy_instance("a", "d", spec="dedicated-2500", region=region, price=act.amount, now=now)
                case "release":
                    billing.release_instance("d", now=now)
        except Refused:
            pass


@settings(max_examples=60, deadline=None)
@given(
    st.lists(use, min_size=1, max_size=8, unique_by=lambda one: one[0]),
    st.lists(acts, max_size=8, unique_by=lambda act: act.second),
    st.sets(st.integers(0, HOURS * HOUR_S), max_size=6),
)
def test_settling_late_gives_the_lines_and_payments_of_settling_on_time(
    uses: list[tuple[int, int, int]], asked: list[Act], visits: set[int]
) -> None:
    """At the turn of each hour as a simulation does, 35 s later as a node does, and whenever somebody is there."""
    on_time = told(History(uses, asked, {hour * HOUR_S for hour in range(1, HOURS + 1)}).world)
    node = told(History(uses, asked, {hour * HOUR_S + 35 for hour in range(1, HOURS + 1)}).world)
    late = told(History(uses, asked, visits).world)
    assert node == on_time
    assert late == on_time
