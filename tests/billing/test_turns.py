"""Accounts take turns together: bills as if alone, no more statements than for one, and no one in another's way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Event, current_thread
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, select
from sqlalchemy.exc import OperationalError

from billing.calendar import hour_of
from billing.charging import skus_by_type
from billing.errors import LedgerFault
from billing.price_rows import read_basis, read_prices
from billing.service import Billing
from billing.settlement import settle_accounts
from billing.terms import Terms
from billing.turns import TURN_HOURS, Turn, carry_out, cut, take_turns
from config.money import E8
from config.prices import load_price_book
from loadtest import settling
from loadtest.settling import START
from metering.database import open_engine, transaction
from metering.tables import dirty
from tests.billing.world import GIB, World, at, count
from tests.postgres import PostgresServer

CLIENT = "egress:client:internet:application"
NAMES = ("a", "b", "c", "d", "e")
SETTLEMENTS = 3 * 4 + 5 + 1  # of `founded`: `d` has an instance that runs one hour more
TRAFFIC = load_price_book("usd").egress_meters.model_dump()


def founded(engine: Engine) -> World:
    """Five accounts that differ in everything, and hours of usage of each; `c` owes from the first hour on."""
    world = World(engine, cash=500, has_free_quota=True)
    billing, now = world.billing, at("2024-02-01 00:00")
    for number, id in enumerate(NAMES[1:], start=2):
        billing.open_account(id, now, has_free_quota=number % 2 == 0, alert_below_e8=E8)
        billing.open_shared_instance(id, f"s{number}", "ap-guangzhou", now)
        billing.top_up(id, cash=0 if id == "c" else 100 * E8, gift=number * E8, now=now)
        billing.buy_pack(id, f"p{number}", meter="egress", quantity=number * GIB, months=1, price=E8 // 9, now=now)
    billing.give_voucher("b", "v", 3 * E8, at("2024-03-01 00:00"), now)
    billing.buy_instance("d", "d1", spec="dedicated-2500", region="ap-guangzhou", price=10_000, now=now)
    for hour in range(1, 5):
        for number, id in enumerate(NAMES, start=1):
            if id != "e" or hour == 3:
                when = f"2024-02-01 0{hour}:10"
                count(engine, when, number * hour * 3_000_000, instance=f"s{number}", account=id)
                count(engine, when, number * hour * GIB, CLIENT, f"s{number}", account=id)
    return world


def documents(billing: Billing) -> list[Any]:
    """All that is known of the accounts, but for keys that count over all of them."""
    now = at("2024-02-02 00:00")
    shown = [{**billing.account(id, now), "settlements": billing.settlements(id)} for id in NAMES]
    for document in shown:
        for bill in document["bills"].values():
            for line in bill["lines"]:
                line.pop("id", None)
    return [*shown, billing.balances(), billing.reconcile()]


def test_a_turn_of_many_comes_to_the_same_as_turns_of_one(engine: Engine) -> None:
    together, alone = founded(engine), founded(open_engine("sqlite://"))
    now = at("2024-02-01 05:00")
    assert together.billing.settle(now, lambda hour: True).settlements == SETTLEMENTS
    alone.billing.settle(alone.opened_at, lambda hour: True)  # enters the prices
    for id in reversed(NAMES):
        with transaction(alone.engine) as connection:
            terms = Terms(read_prices(connection), read_basis(connection), skus_by_type(TRAFFIC))
            last = hour_of(now) - 1
            settle_accounts(connection, [id], 0, last, 0, terms, alone.billing.calendar, now)
    assert alone.billing.settle(now, lambda hour: True).settlements == 0
    assert documents(alone.billing) == documents(together.billing)
    assert [together.billing.account(id)["state"] for id in NAMES].count("arrears") == 1


@contextmanager
def statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    found: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, ___: Any, many: bool) -> None:
        found.append((statement, parameters[0] if many else parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def statements_of_a_tick(url: str, accounts: int, hours: int = 1) -> list[tuple[str, Any]]:
    engine = open_engine(url)
    billing = settling.found(engine, accounts)
    settling.count(engine, accounts, range(START, START + hours), hours)
    with statements(engine) as found:
        assert billing.settle((START + hours) * 3600, lambda hour: True).settlements == accounts * hours
    engine.dispose()
    return found


def test_a_turn_takes_no_more_statements_for_more_accounts() -> None:
    few = len(statements_of_a_tick("sqlite://", 20))
    assert len(statements_of_a_tick("sqlite://", 60)) == few
    # Twenty have 1,200 hours with usage, and as many with seconds, which is five turns.
    assert few < len(statements_of_a_tick("sqlite://", 20, 60)) < 5 * few


def test_nor_does_it_on_postgresql(postgres_server: PostgresServer) -> None:
    few, more = (len(statements_of_a_tick(postgres_server.database(), accounts)) for accounts in (20, 60))
    assert few == more


def test_what_a_turn_reads_it_finds_by_an_index(tmp_path: Path) -> None:
    """However many rows of usage there are, a turn looks at those of its accounts and hours."""
    url = f"sqlite:///{tmp_path}/store.db"
    of_turns = [
        one for one in statements_of_a_tick(url, 20) if "json_each" in one[0] or one[0].startswith(("UPDATE", "DELETE"))
    ]
    assert len(of_turns) > 10
    with open_engine(url).connect() as connection:
        for statement, parameters in of_turns:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            scans = [row[3] for row in plan if "SCAN" in row[3] and "json_each" not in row[3]]
            assert scans == [], statement
        connection.rollback()
    connection.engine.dispose()


def test_on_a_server_two_turns_go_side_by_side_and_bill_the_same(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = founded(open_engine(postgres_server.database()))
    monkeypatch.setattr("billing.turns.TURN_HOURS", 1)  # a turn, or several, for each account
    apart = founded(open_engine(postgres_server.database()))
    threads: set[str] = set()
    met = Barrier(2)

    def note(connection: Connection, *_: Any) -> None:
        name = current_thread().name
        if name.startswith("settling") and name not in threads:
            threads.add(name)
            met.wait(20)  # Neither goes on before the other has begun.

    event.listen(apart.engine, "before_cursor_execute", note)
    now = at("2024-02-01 05:00")
    for world in (together, apart):
        assert world.billing.settle(now, lambda hour: True).settlements == SETTLEMENTS
    assert len(threads) == 2
    assert documents(apart.billing) == documents(together.billing)
    for world in (together, apart):
        world.engine.dispose()


def test_turns_of_one_account_keep_their_order_and_a_store_that_fails_ends_them(engine: Engine) -> None:
    seen: list[tuple[str, int]] = []
    never = Event()

    def settle(turn: Turn) -> int:
        if turn.accounts == ("broken",):
            raise OperationalError("", {}, Exception("the store is away"))
        if turn.first == 0:
            never.wait(0.05)  # Time for another thread to be ahead, if one may.
        seen.append((turn.accounts[0], turn.first))
        return 1

    planned = [Turn((name,), first, first) for name in ("a", "b") for first in range(5)]
    assert take_turns(engine, planned, settle) == 10
    assert all([first for name, first in seen if name == one] == list(range(5)) for one in ("a", "b"))
    seen.clear()
    with pytest.raises(OperationalError):
        take_turns(engine, [Turn(("broken",), 0, 0), *(Turn((f"n{n}",), 0, 0) for n in range(200))], settle)
    assert len(seen) < 200


def plan(*work: tuple[str, int, int], through: int = 1000) -> list[tuple[str, int, int]]:
    return [("".join(turn.accounts), turn.first, turn.last) for turn in cut(work, through)]


HALF = TURN_HOURS // 2


@pytest.mark.parametrize(
    "work, expected",
    [
        pytest.param([], [], id="nothing to do"),
        pytest.param([("a", 1000, 1)], [("a", 1000, 1000)], id="one hour of one account"),
        pytest.param([("a", 7, 1), ("b", 1000, 1)], [("ab", 7, 1000)], id="from the oldest hour on"),
        pytest.param([("a", 600, HALF), ("b", 600, HALF)], [("ab", 600, 1000)], id="just enough"),
        pytest.param(
            [("a", 600, HALF), ("b", 600, HALF), ("c", 999, 1)],
            [("ab", 600, 1000), ("c", 999, 1000)],
            id="one too many",
        ),
        pytest.param(
            [("a", 0, TURN_HOURS + 1), ("b", 1000, 1)],
            [("a", 0, 499), ("a", 500, 999), ("a", 1000, 1000), ("b", 1000, 1000)],
            id="a long absence by itself, in order",
        ),
    ],
)  # fmt: skip
def test_turns_are_short_enough(work: list[tuple[str, int, int]], expected: list[tuple[str, int, int]]) -> None:
    assert plan(*work) == expected


def test_a_long_absence_is_billed_in_turns_hour_by_hour() -> None:
    world = World(cash=100)
    world.billing.buy_instance("a", "d", spec="dedicated-2500", region="ap-guangzhou", price=1, now=world.opened_at)
    days = TURN_HOURS // 24 + 2
    report = world.settle(f"2024-01-{days + 1:02d} 00:00")
    assert report.settlements == 24 * days > TURN_HOURS
    assert world.billing.reconcile() == []


def fail_on(bad: str) -> Callable[[Connection, Sequence[str]], int]:
    def act(connection: Connection, accounts: Sequence[str]) -> int:
        for account in accounts:
            connection.execute(dirty.insert(), {"account": account, "hour": 1})
            if account in bad:
                raise LedgerFault(account)
        return len(accounts)

    return act


@pytest.mark.parametrize("bad", ["", "a", "d", "g", "bc", "abcdefg"])
def test_who_fails_is_alone_with_it(bad: str) -> None:
    world = World()
    failures: dict[str, Exception] = {}
    done = carry_out(world.engine, "abcdefg", fail_on(bad), failures)
    assert (done, sorted(failures)) == (7 - len(bad), sorted(bad))
    with transaction(world.engine) as connection:
        written = connection.execute(select(dirty.c.account).order_by(dirty.c.account)).scalars().all()
    assert "".join(written) == "".join(sorted(set("abcdefg") - set(bad)))


def test_an_account_that_cannot_be_settled_is_named_and_keeps_no_other_from_it(engine: Engine) -> None:
    world = founded(engine)
    world.settle("2024-02-01 03:00")
    count(engine, "2024-02-01 01:10", 5, instance="s2", account="b")  # less than was billed
    with pytest.raises(LedgerFault, match=r"not settled: b: s2 calls in hour \d+: more billed than counted$"):
        world.settle("2024-02-01 05:00")
    settled = {id: len(world.billing.settlements(id)) for id in NAMES}
    assert settled == {"a": 4, "b": 2, "c": 4, "d": 5, "e": 1}
    # Put right, it is billed as if nothing had been.
    count(engine, "2024-02-01 01:10", 6_000_000, instance="s2", account="b")
    assert world.settle("2024-02-01 06:00").settlements == 3
    assert world.billing.reconcile() == []
