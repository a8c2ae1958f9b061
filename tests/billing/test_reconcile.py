"""Each check finds the damage it is there for."""

import pytest
from sqlalchemy import text

from config.money import E8
from metering.database import transaction
from tests.billing.world import GIB, World, at


def settled() -> World:
    world = World(cash=10)
    world.billing.buy_pack("a", "p", meter="calls", quantity=50, months=1, price=E8, now=at("2024-02-01 00:00"))
    world.count("2024-02-01 00:10", 100)
    world.count("2024-02-01 00:10", GIB, "egress:client:internet:application")
    world.settle("2024-02-01 01:00")
    return world


def test_a_sound_store_has_no_findings() -> None:
    assert settled().billing.reconcile() == []


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("UPDATE wallet SET balance_e8 = balance_e8 + 1 WHERE bucket = 'cash'", "wallet"),
        ("UPDATE counter SET value = value + 1 WHERE meter = 'calls'", "counted 101, billed 100"),
        ("UPDATE pack SET used = used - 1", "pack a/p: used 49"),
        ("UPDATE pack SET to_hour = from_hour", "outside of its validity"),
        ("UPDATE accumulator SET amount_e8 = amount_e8 + 1 WHERE sku = 'egress'", "accumulator a/egress"),
        (
            "INSERT INTO settlement SELECT account, hour, rev + 1, at, bill_month, corrects_month, is_late,"
            " 7, 0, 0, 0, 7, NULL FROM settlement",
            "amount, payment, lines and transfers differ",
        ),
    ],
)
def test_damage_is_found(damage: str, finding: str) -> None:
    world = settled()
    with transaction(world.engine) as connection:
        connection.execute(text(damage))
    assert finding in " | ".join(world.billing.reconcile())
