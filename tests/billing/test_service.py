"""The facade's views and its versions of prices."""

import pytest

from billing.errors import Refused
from billing.rating import Tier
from billing.service import Billing
from config.catalog import load_catalog
from config.money import E8
from config.prices import load_price_book
from tests.billing.world import GIB, World, at


def test_a_bill_is_the_account_with_the_bills_of_a_month() -> None:
    world = World(cash=10)
    world.count("2024-02-01 00:10", 100)
    world.count("2024-03-01 00:10", 100)
    world.settle("2024-03-01 01:00")
    assert set(world.billing.bill("a")["bills"]) == {"2024-02", "2024-03"}
    assert set(world.billing.bill("a", "2024-02")["bills"]) == {"2024-02"}
    assert world.billing.bill("a", "2023-01")["bills"] == {}
    [line] = world.billing.bill_lines("a", "2024-02")
    assert line.pop("id") == 1
    # Who looks at lines sees when and with what each was paid, too.
    assert {line.pop(name) for name in ("voucher", "gift", "income")} == {"0.00000000"}
    assert line.pop("cash") == line["amount"]
    assert line.pop("settled_at") == "2024-02-29T17:00:00Z"
    assert line == world.billing.bill("a", "2024-02")["bills"]["2024-02"]["lines"][0]
    assert [s["bill_month"] for s in world.billing.settlements("a", "2024-03")] == ["2024-03"]
    assert [(one["id"], one["state"]) for one in world.billing.accounts()] == [("a", "active")]
    assert [one["id"] for one in world.billing.instances("a")] == ["s1"]


def test_an_unknown_account_has_no_bill() -> None:
    with pytest.raises(Refused, match="not_found"):
        World().billing.bill("nobody")


def test_packs_are_shown_by_the_clock() -> None:
    class Clock:
        def now(self) -> float:
            return at("2024-06-01 00:00") + 0.5

    world = World(cash=10)
    world.billing.buy_pack("a", "p", meter="calls", quantity=5, months=1, price=E8, now=at("2024-02-01 00:00"))
    assert world.billing.packs("a")[0]["state"] == "active"
    clocked = Billing(world.engine, load_price_book("usd"), load_catalog(), clock=Clock(), is_migrated=True)
    assert clocked.packs("a")[0]["state"] == "expired"
    assert clocked.packs("a", at("2024-02-02 00:00"))[0]["state"] == "active"


def test_another_price_book_holds_from_the_next_full_hour() -> None:
    world = World(cash=10)
    world.count("2024-02-01 00:10", GIB, "egress:client:internet:application")
    world.settle("2024-02-01 00:30")
    dearer = load_price_book("usd").model_copy(update={"egress": {"ap-guangzhou": 2 * E8}})
    world.billing = Billing(world.engine, dearer, load_catalog(), is_migrated=True)
    world.count("2024-02-01 01:10", GIB, "egress:client:internet:application")
    world.settle("2024-02-01 00:40")
    world.settle("2024-02-01 02:00")
    assert [line["unit_price"] for line in world.lines("2024-02")] == ["0.12", "2"]


def test_another_basis_bills_no_byte_twice() -> None:
    world = World(cash=10)
    for hour in ("00", "01"):
        world.count(f"2024-02-01 {hour}:10", 1000, "egress:client:internet:application")
        world.count(f"2024-02-01 {hour}:10", 1100, "egress:client:internet:wire")
    world.settle("2024-02-01 00:30")
    world.billing = Billing(world.engine, load_price_book("usd"), load_catalog(), egress_basis="wire", is_migrated=True)
    world.settle("2024-02-01 00:40")
    world.settle("2024-02-01 02:00")
    assert [line["quantity"] for line in world.lines("2024-02")] == [1000, 1100]
    assert world.billing.reconcile() == []


def test_the_last_of_two_prices_for_the_same_hour_holds() -> None:
    world = World(cash=10)
    for price_e8 in (E8, 2 * E8):
        world.billing.change_price("egress", "ap-guangzhou", [Tier(None, price_e8)], at("2024-02-01 00:20"))
    world.count("2024-02-01 00:10", GIB, "egress:client:internet:application")
    world.count("2024-02-01 01:10", GIB, "egress:client:internet:application")
    world.settle("2024-02-01 02:00")
    assert [line["unit_price"] for line in world.lines("2024-02")] == ["0.12", "2"]


def test_the_next_instant_is_the_end_of_the_hour_or_a_deadline() -> None:
    world = World()
    assert world.billing.next_instant() is None
    world.count("2024-02-01 00:10", 100)
    assert world.billing.next_instant() == at("2024-02-01 01:00")
    world.settle("2024-02-01 01:00")
    assert world.billing.next_instant() == at("2024-02-02 01:00:01")
