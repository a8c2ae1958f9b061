"""Settlement in a store: done twice it bills once, late it bills the rest (RULES C.5); crashes are in test_crash.py."""

from typing import Any

import pytest
from sqlalchemy import select

from billing import tables
from billing.calendar import hour_of
from billing.errors import LedgerFault
from billing.settlement import last_ready_hour
from config.money import E8
from metering.database import transaction
from metering.tables import dirty
from tests.billing.world import GIB, World, at


def eventful() -> World:
    """Calls over a tier, traffic over a pack, an instance by the second, a voucher, and money that runs out."""
    world = World(cash=2, alert_below_e8=E8, has_free_quota=True)
    now = at("2024-02-01 00:00")
    world.billing.buy_pack("a", "p", meter="egress", quantity=GIB, months=1, price=E8 // 2, now=now)
    world.billing.give_voucher("a", "v", E8, at("2024-03-01 00:00"), now)
    world.billing.buy_instance("a", "d", spec="dedicated-2500", region="ap-guangzhou", price=10_000, now=now)
    world.count("2024-02-01 00:10", 12_000_000)
    world.count("2024-02-01 00:10", 5 * GIB, "egress:client:internet:application")
    world.count("2024-02-01 01:10", 10_000)
    world.count("2024-02-01 01:10", GIB, "egress:backend:internet:application", writer="other")
    return world


def content(world: World) -> dict[str, Any]:
    document = world.billing.account("a", at("2024-02-03 00:00"))
    return {**document, "balances": world.billing.balances()}


def test_a_second_settlement_finds_nothing() -> None:
    world = eventful()
    first = world.settle("2024-02-01 02:00")
    assert first.settlements == 2
    before = content(world)
    again = world.settle("2024-02-01 02:00")
    assert again.settlements == 0
    assert content(world) == before
    assert world.billing.reconcile() == []


def test_growth_after_settlement_is_a_revision_and_late() -> None:
    world = World(cash=10)
    world.count("2024-02-01 00:10", 100)
    world.settle("2024-02-01 01:00")
    world.count("2024-02-01 00:10", 150)
    world.count("2024-02-01 00:10", 7, writer="other")
    world.settle("2024-02-01 01:05")
    lines = world.lines("2024-02")
    assert [(line["quantity"], line["late"]) for line in lines] == [(100, False), (57, True)]
    assert [s["rev"] for s in world.billing.settlements("a")] == [1, 2]


def test_hours_after_a_long_absence_are_not_late() -> None:
    world = World(cash=10)
    for day in range(1, 21):
        world.count(f"2024-02-{day:02d} 05:10", 100)
    report = world.settle("2024-02-25 00:00")
    assert report.settlements == 20
    assert not any(line["late"] for line in world.lines("2024-02"))
    assert world.billing.lag_s(at("2024-02-25 00:00")) == 0


def test_an_hour_that_is_not_ready_waits() -> None:
    world = World(cash=10)
    world.count("2024-02-01 00:10", 100)
    world.count("2024-02-01 01:10", 100)
    hour = hour_of(at("2024-02-01 01:00"))
    now = at("2024-02-01 02:01")
    assert world.billing.settle(now, lambda h: h < hour).settlements == 1
    assert world.billing.lag_s(now) == 60
    assert world.billing.settle(now, lambda h: True).settlements == 1


def test_stragglers_are_waited_for_only_so_long() -> None:
    hour = hour_of(at("2024-02-01 01:00"))
    assert last_ready_hour(at("2024-02-01 02:19:59"), lambda h: False) == hour - 1
    assert last_ready_hour(at("2024-02-01 02:20:00"), lambda h: False) == hour


def test_the_running_hour_is_left_alone() -> None:
    world = World(cash=10)
    world.count("2024-02-01 01:10", 100)
    assert world.settle("2024-02-01 01:59:59").settlements == 0
    with transaction(world.engine) as connection:
        assert connection.execute(select(dirty.c.hour)).scalars().all() == [hour_of(at("2024-02-01 01:00"))]


def test_more_billed_than_counted_is_a_fault_and_bills_nothing() -> None:
    world = World(cash=10)
    world.count("2024-02-01 00:10", 100)
    world.settle("2024-02-01 01:00")
    world.count("2024-02-01 00:10", 90)
    with pytest.raises(LedgerFault):
        world.settle("2024-02-01 02:00")
    assert len(world.lines("2024-02")) == 1


def test_usage_of_an_account_nobody_knows_is_left_alone() -> None:
    world = World()
    with transaction(world.engine) as connection:
        connection.execute(dirty.insert(), {"account": "stranger", "hour": 5})
    assert world.settle("2024-02-01 01:00").settlements == 0


def test_vpc_bytes_and_the_other_basis_are_never_billed() -> None:
    world = World(cash=10)
    for meter in ("egress:client:vpc:application", "egress:client:internet:wire", "ingress", "websocket_connections"):
        world.count("2024-02-01 00:10", GIB, meter)
    assert world.settle("2024-02-01 01:00").settlements == 0
    assert world.billing.reconcile() == []


def test_a_downtime_of_weeks_takes_one_step_at_a_time() -> None:
    world = World()
    world.count("2024-02-01 00:10", 100)
    world.settle("2024-02-01 01:00")
    world.settle("2024-02-28 00:00")
    assert world.document()["state"] == "suspended"
    world.settle("2024-02-28 00:01")
    assert world.document()["state"] == "suspended"
    world.settle("2024-03-06 00:00:01")
    assert world.document()["state"] == "destroyed"


@pytest.mark.parametrize("table", tables.APPEND_ONLY)
@pytest.mark.parametrize("verb", ["update", "delete"])
def test_what_happened_cannot_be_changed(table: str, verb: str) -> None:
    world = eventful()
    world.settle("2024-02-01 02:00")
    world.settle("2024-02-02 02:00:01")
    one = tables.metadata.tables[table]
    column = next(column for column in one.columns if column.name not in one.primary_key.columns)
    statement = one.delete() if verb == "delete" else one.update().values({column.name: column})
    with pytest.raises(Exception, match="append-only"), transaction(world.engine) as connection:
        connection.execute(statement)
