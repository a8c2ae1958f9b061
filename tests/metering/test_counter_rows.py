"""Counter rows on both engines: they rise, never fall, and say what rose."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from metering.counter_rows import BATCHES, raise_counters
from metering.database import transaction
from metering.tables import counter, metadata


@pytest.fixture
def engine(engine: Engine) -> Engine:
    metadata.create_all(engine)
    return engine


def row(service: str, value: int, account: str = "acme", hour: int = 7) -> dict[str, Any]:
    key = {"writer": "w", "account": account, "instance": "i", "region": "r", "service": service, "meter": "calls"}
    return {**key, "hour": hour, "value": value}


def values(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {found.service: found.value for found in connection.execute(select(counter))}


def test_only_what_is_higher_is_written_and_said(engine: Engine) -> None:
    for rows, risen in (
        ([row("a", 5), row("b", 1, "other", 8)], {("acme", 7), ("other", 8)}),
        ([row("a", 4), row("b", 1, "other", 8)], set()),
        ([row("a", 6), row("b", 0, "other", 8), row("c", 2**62)], {("acme", 7)}),
        ([], set()),
    ):
        with transaction(engine) as connection:
            assert raise_counters(connection, rows) == risen
    assert values(engine) == {"a": 6, "b": 1, "c": 2**62}


def test_every_row_is_written_whatever_their_number(engine: Engine) -> None:
    count = 2 * BATCHES[0] + sum(BATCHES) + 3
    for more in (0, 1):
        with transaction(engine) as connection:
            assert raise_counters(connection, [row(f"s{n}", n + more) for n in range(count)]) == {("acme", 7)}
    assert values(engine) == {f"s{n}": n + 1 for n in range(count)}


def test_text_is_text_and_no_sql(engine: Engine) -> None:
    names = ["it's", 'a"b', "%s", "%(value_m0)s", ":value", "?", "ü", "a\\b"]
    with transaction(engine) as connection:
        raise_counters(connection, [row(name, 1) for name in names])
        assert connection.scalar(select(func.count()).select_from(counter)) == len(names)
    assert set(values(engine)) == set(names)
