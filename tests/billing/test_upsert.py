"""Many rows at once come to the same on each engine (on PostgreSQL by COPY or as arrays), or not at all."""

from collections.abc import Iterable

import pytest
from sqlalchemy import Connection, Engine, func, select

from billing import tables
from billing.upsert import (
    COPY_ROWS_MIN,
    add_rows,
    add_to_rows,
    append_rows,
    ignore_rows,
    replace_rows,
    update_rows,
)
from metering.database import transaction
from tests.billing.world import World


def transitions(number: int) -> list[dict[str, object]]:
    return [{"account": "a", "at": one, "before": "active", "after": "arrears"} for one in range(number)]


@pytest.mark.parametrize("number", [0, 1, COPY_ROWS_MIN - 1, COPY_ROWS_MIN, 500])
def test_rows_are_appended(engine: Engine, number: int) -> None:
    world = World(engine)
    with transaction(world.engine) as connection:
        append_rows(connection, tables.transition, transitions(number))
        found = connection.execute(select(tables.transition.c.at).order_by(tables.transition.c.id)).scalars().all()
    assert found == list(range(number))


def ladders(units: Iterable[int]) -> list[dict[str, object]]:
    return [{"account": "a", "sku": f"{n}", "month": "2024-01", "units": value} for n, value in enumerate(units)]


def units_of(connection: Connection) -> list[int]:
    sku = tables.ladder.c.sku
    return list(connection.execute(select(tables.ladder.c.units).order_by(func.length(sku), sku)).scalars())


@pytest.mark.parametrize("number", [0, 1, COPY_ROWS_MIN - 1, COPY_ROWS_MIN, 500])
def test_rows_meet_rows_that_are_there(engine: Engine, number: int) -> None:
    """Half of them are: they stay, take the new value, or have it added."""
    world = World(engine)
    old, new = [100] * (number // 2), list(range(number))
    with transaction(world.engine) as connection:
        replace_rows(connection, tables.ladder, ("units",), ladders(old))
        ignore_rows(connection, tables.ladder, ladders(new))
        assert units_of(connection) == old + new[len(old) :]
        replace_rows(connection, tables.ladder, ("units",), ladders(new))
        assert units_of(connection) == new
        add_rows(connection, tables.ladder, ("units",), ladders(new))
        assert units_of(connection) == [2 * value for value in new]


@pytest.mark.parametrize("number", [0, 1, COPY_ROWS_MIN - 1, COPY_ROWS_MIN, 500])
def test_rows_are_changed_by_key(engine: Engine, number: int) -> None:
    world = World(engine)
    vouchers = [
        {"key": key, "account": "a", "id": f"{key}", "total_e8": 9999, "left_e8": key, "expires_at": 0}
        for key in range(number + 1)
    ]
    left = select(tables.voucher.c.left_e8, tables.voucher.c.expires_at).order_by(tables.voucher.c.key)
    with transaction(world.engine) as connection:
        append_rows(connection, tables.voucher, vouchers)
        changes = [{"key": key, "left_e8": 7, "expires_at": key} for key in range(number)]
        update_rows(connection, tables.voucher, "key", ("left_e8", "expires_at"), changes)
        add_to_rows(connection, tables.voucher, "key", ("left_e8",), changes)
        found = [tuple(row) for row in connection.execute(left)]
    # The last one was not meant.
    assert found == [*((14, key) for key in range(number)), (number, 0)]


def test_what_fails_later_takes_them_back(engine: Engine) -> None:
    world = World(engine)
    with pytest.raises(RuntimeError), transaction(world.engine) as connection:
        append_rows(connection, tables.transition, transitions(100))
        raise RuntimeError
    assert world.document()["transitions"] == []


def test_a_long_absence_is_billed_alike(engine: Engine) -> None:
    there, here = World(engine, cash=10), World(cash=10)
    for world in (there, here):
        for hour in range(20):
            world.count(f"2024-02-01 {hour:02d}:10", 1000 + hour)
        world.settle("2024-02-02 00:00")
        assert world.billing.reconcile() == []
    assert there.document() == here.document()
    assert len(there.lines("2024-02")) == 20
