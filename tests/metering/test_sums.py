"""Sums of what a column holds, beyond what a column holds. On both engines."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, func, insert, select
from sqlalchemy.exc import DBAPIError

from metering.database import is_away, transaction
from metering.sums import exact_sum
from metering.tables import metadata, seal

MOST, LEAST = 2**63 - 1, -(2**63)


@pytest.fixture
def engine(engine: Engine) -> Engine:
    metadata.create_all(engine)
    return engine


@pytest.mark.parametrize(
    "values",
    [
        [],
        [0],
        [-1],
        [5, -7],
        [MOST],
        [LEAST],
        [MOST, MOST, 1],
        [LEAST, LEAST, -1],
        [MOST, LEAST],
        [2**32, -(2**32) - 1],
    ],
)
def test_a_sum_is_exact_however_large(engine: Engine, values: list[int]) -> None:
    rows = [{"writer": str(number), "through_hour": value} for number, value in enumerate(values)]
    with transaction(engine) as connection:
        if rows:
            connection.execute(insert(seal), rows)
        assert connection.execute(select(exact_sum(seal.c.through_hour))).scalar_one() == sum(values)
        grouped = select(seal.c.writer, exact_sum(seal.c.through_hour)).group_by(seal.c.writer)
        assert {int(writer): value for writer, value in connection.execute(grouped)} == dict(enumerate(values))


def test_a_value_that_the_store_cannot_take_is_no_store_that_is_away(engine: Engine) -> None:
    """SQLite calls an overflow an operational error, as it does a disk that is full."""
    with transaction(engine) as connection:
        connection.execute(insert(seal), [{"writer": name, "through_hour": MOST} for name in "ab"])
    raised: list[Exception] = []
    for statement in (
        select(func.sum(seal.c.through_hour) + func.sum(seal.c.through_hour)),
        seal.update().values(through_hour=seal.c.through_hour + 1),
        insert(seal).values(writer="c", through_hour=2**70),
        select(seal).where(seal.c.writer == "\x00"),
        select(seal).where(seal.c.writer == "\ud800"),
    ):
        try:
            with transaction(engine) as connection:
                connection.execute(statement).all() if statement.is_select else connection.execute(statement)
        except Exception as error:
            raised.append(error)
    assert len(raised) >= 4
    assert [error for error in raised if is_away(error)] == []


def test_a_store_that_is_away_is_told_by_its_error(engine: Engine) -> None:
    fails = "SELECT pg_terminate_backend(pg_backend_pid())"
    with pytest.raises(DBAPIError) as error, transaction(engine) as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
            fails = "DELETE FROM seal"
        connection.exec_driver_sql(fails)
    assert is_away(error.value)
