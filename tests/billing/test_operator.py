"""What only an operator does: quota anew, adjustments with a reason, vetoes."""

import pytest

from billing.calendar import hour_of
from billing.errors import Refused
from config.money import E8
from tests.billing.world import GIB, World, at, states


def test_b20_a_free_quota_given_anew_starts_twelve_fresh_periods_and_ends_the_old_ones() -> None:
    """As the guide gave it, at 23:59:59 of a 12 October."""
    world = World(cash=10, activated_at=at("2024-01-20 08:00"), has_free_quota=True)
    world.count("2024-10-12 22:10", 400_000)
    world.settle("2024-10-12 23:00")
    world.billing.regrant_free("a", now=at("2024-10-12 23:59:59"))
    world.count("2024-10-12 23:10", 900_000)
    world.settle("2024-10-13 00:00")
    packs = {pack["id"]: pack for pack in world.billing.account("a", at("2024-10-13 00:00"))["packs"]}
    assert (packs["free-calls-9"]["used"], packs["free-calls-9"]["state"]) == (400_000, "expired")
    assert packs["free-calls-9"]["valid_to"] == "2024-10-12T15:00:00Z"
    assert (packs["free-calls-1-r1"]["used"], packs["free-calls-1-r1"]["total"]) == (900_000, 1_000_000)
    world.settle("2025-10-20 00:00")
    packs = {pack["id"]: pack for pack in world.billing.account("a", at("2025-10-20 00:00"))["packs"]}
    assert packs["free-egress-12-r1"]["valid_to"] == "2025-10-12T16:00:00Z"  # 24:00 of the anniversary (B18)
    assert not {id for id in packs if id.startswith("free-calls-10")} - {"free-calls-10-r1"}
    assert world.billing.reconcile() == []


def test_an_adjustment_is_a_negative_line_with_its_reason_and_goes_back_where_it_came_from() -> None:
    world = World(cash=0)
    now = at("2024-02-01 00:00")
    world.billing.top_up("a", cash=E8, gift=E8 // 10, now=now)
    world.count("2024-02-01 00:10", 10 * GIB, "egress:client:internet:application")
    world.settle("2024-02-01 01:00")  # 1.20: gift 0.10, cash 1.00 and then 0.10 of debt
    done = world.billing.adjust(
        "a", hour=hour_of(now), instance="s1", meter="egress_client", amount_e8=11 * E8 // 100,
        reason="SLA credit", now=at("2024-02-01 05:00"), idem="k",
    )  # fmt: skip
    assert (done["amount"], done["reason"], done["rev"]) == ("-0.11000000", "SLA credit", 2)
    assert (done["cash"], done["gift"]) == ("-0.10083333", "-0.00916667")  # 0.11 × 1.10/1.20, and the rest
    [_, line] = world.lines("2024-02")
    assert (line["cover"], line["quantity"], line["amount"]) == ("adjust", 0, "-0.11000000")
    assert line["reason"] == "SLA credit"
    assert world.document()["bills"]["2024-02"]["total"] == "1.09000000"
    assert world.document()["state"] == "active"  # 1.10 in, 1.09 billed
    again = world.billing.adjust(
        "a", hour=hour_of(now), instance="s1", meter="egress_client", amount_e8=11 * E8 // 100,
        reason="SLA credit", now=at("2024-02-01 06:00"), idem="k",
    )  # fmt: skip
    assert again == done
    assert world.billing.reconcile() == []
    assert world.settle("2024-02-01 07:00").settlements == 0


def test_an_adjustment_of_a_closed_month_is_on_the_present_bill() -> None:
    world = World(cash=1)
    world.count("2024-01-10 00:10", 10_000)
    world.settle("2024-01-10 01:00")
    hour = hour_of(at("2024-01-10 00:00"))
    world.billing.adjust(
        "a", hour=hour, instance="s1", meter="calls", amount_e8=1, reason="late", now=at("2024-02-03 00:00:01")
    )
    [line] = world.lines("2024-02")
    assert (line["corrects_month"], line["amount"]) == ("2024-01", "-0.00000001")


@pytest.mark.parametrize("wrong", [{"amount_e8": 0}, {"amount_e8": -1}, {"reason": " "}, {"meter": "hours"}])
def test_an_adjustment_needs_an_amount_a_reason_and_a_meter(wrong: dict[str, object]) -> None:
    world = World(cash=1)
    wish = {"hour": 1, "instance": "s1", "meter": "calls", "amount_e8": 1, "reason": "x", **wrong}
    with pytest.raises(ValueError, match="adjustment"):
        world.billing.adjust("a", now=at("2024-02-01 00:00"), **wish)  # type: ignore[arg-type]


def test_an_adjustment_is_for_an_ended_hour_of_an_instance_of_the_account() -> None:
    world = World(cash=1)
    now = at("2024-02-01 00:00")
    for instance, hour in (("nobody", 1), ("s1", hour_of(now))):
        with pytest.raises(Refused, match="not_found"):
            world.billing.adjust("a", hour=hour, instance=instance, meter="calls", amount_e8=1, reason="x", now=now)


def test_b45_a_vetoed_refund_is_refused_until_the_veto_is_lifted() -> None:
    world = World(cash=1000)
    now = at("2024-02-01 00:00")
    world.billing.buy_instance("a", "d", spec="dedicated-2500", region="ap-guangzhou", months=1, now=now)
    world.billing.veto_refunds("a", True, now)
    with pytest.raises(Refused) as refused:
        world.billing.refund_instance("d", now=now)
    assert refused.value.code == "refund_vetoed"
    assert states(world.document()["instances"])["d"] == "active"
    world.billing.veto_refunds("a", False, now)
    world.billing.refund_instance("d", now=now)
    assert states(world.document()["instances"])["d"] == "isolated"
