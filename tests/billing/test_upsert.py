"""Many rows at once come to the same on each engine (on PostgreSQL by COPY), or not at all."""

import pytest
from sqlalchemy import Engine, select

from billing import tables
from billing.upsert import COPY_ROWS_MIN, append_rows
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
