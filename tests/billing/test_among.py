"""`IN` with the list as one parameter finds the same on each engine, and stands in a condition as it is."""

import pytest
from sqlalchemy import Engine, not_, select

from billing.among import among
from billing.upsert import append_rows
from metering.database import transaction
from metering.tables import dirty, metadata

ROWS = [("a", 1), ("a", 2), ("b", 1), ("o'clock", 3), ('"x", "y"', 4), ("ü", 5)]


@pytest.mark.parametrize(
    "accounts, hours, found",
    [
        pytest.param(["a"], [1, 2, 3], [("a", 1), ("a", 2)], id="of one account"),
        pytest.param(["b", "a", "nobody"], [1], [("a", 1), ("b", 1)], id="of several"),
        pytest.param(["o'clock", '"x", "y"', "ü"], [3, 4, 5], [('"x", "y"', 4), ("o'clock", 3), ("ü", 5)], id="quotes"),
        pytest.param([], [1], [], id="of nobody"),
        pytest.param([f"n{number}" for number in range(5000)] + ["b"], [1], [("b", 1)], id="of very many"),
    ],
)
def test_rows_of_a_list_are_found(
    engine: Engine, accounts: list[str], hours: list[int], found: list[tuple[str, int]]
) -> None:
    query = select(dirty).where(among(dirty.c.account, "accounts"), among(dirty.c.hour, "hours"))
    with transaction(engine) as connection:
        metadata.create_all(connection)
        append_rows(connection, dirty, [{"account": account, "hour": hour} for account, hour in ROWS])
        rows = connection.execute(query, {"accounts": accounts, "hours": hours}).all()
        rest = connection.execute(
            select(dirty).where(not_(among(dirty.c.account, "accounts"))), {"accounts": accounts}
        ).all()
    assert sorted(map(tuple, rows)) == sorted(found)
    assert {account for account, _ in rest} == {account for account, _ in ROWS} - set(accounts)
