"""A crash at every SQL statement of a history of purchases, refunds, settlements and deadlines (RULES C.5, C.7).

After each crash the invariants hold and nothing of the step is there; done again, with the same keys, it ends as if
nothing had happened.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from billing.service import Billing
from billing.tables import create_all
from config.catalog import load_catalog
from config.money import E8
from config.prices import load_price_book
from metering.database import open_engine, transaction
from tests.billing.world import GIB, at, count
from tests.postgres import PostgresServer

Step = Callable[[Billing], Any]
NOW = at("2024-02-01 00:00")
# One statement of so many, which takes seconds; with TOLLGATE_TEST_LONG=1 every one, which takes minutes.
IS_LONG = bool(os.environ.get("TOLLGATE_TEST_LONG"))
SQLITE_STRIDE = 1 if IS_LONG else 4
POSTGRES_STRIDE = 1 if IS_LONG else 29


class Fuse(OperationalError):
    """The machine stops here: to whoever looks after accounts that fail, it is the store that does."""

    def __init__(self) -> None:
        super().__init__("", None, Exception())


@contextmanager
def fuse(engine: Engine, statements: int) -> Iterator[None]:
    """Let so many statements through, then stop at the next."""
    left = statements

    def burn(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Fuse

    event.listen(engine, "before_cursor_execute", burn)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", burn)


def _settle(when: str) -> Step:
    return lambda billing: billing.settle(at(when), lambda hour: True)


def _count(when: str, *counts: tuple[str, str, int]) -> Step:
    def step(billing: Billing) -> None:
        for instance, meter, value in counts:
            count(billing.engine, when, value, meter, instance, account="b" if instance == "s2" else "a")

    return step


CLIENT = "egress:client:internet:application"
D = {"spec": "dedicated-2500", "region": "ap-guangzhou"}
HISTORY: list[tuple[str, Step]] = [
    ("top up", lambda b: b.top_up("a", cash=40 * E8, gift=E8, income=2 * E8, now=NOW, idem="1")),
    ("voucher", lambda b: b.give_voucher("a", "v", E8, at("2024-03-01 00:00"), NOW, idem="2")),
    ("pack", lambda b: b.buy_pack("a", "p", meter="egress", quantity=GIB, months=1, price=E8, now=NOW, idem="3")),
    ("spare", lambda b: b.buy_pack("a", "q", meter="calls", quantity=9, months=1, price=E8, now=NOW, idem="4")),
    ("refund", lambda b: b.refund_pack("q", now=NOW, idem="5")),
    ("hold", lambda b: b.buy_instance("a", "d", price=10_000, now=NOW + 60, idem="6", **D)),
    ("prepay", lambda b: b.buy_instance("a", "m", price=9 * E8, months=1, now=NOW + 90, idem="7", **D)),
    ("renew", lambda b: b.renew_instance("m", months=1, now=NOW + 99, idem="8")),
    ("use", _count("2024-02-01 00:10", ("s1", "calls", 12_000_000), ("s1", CLIENT, 5 * GIB), ("s2", "calls", 7))),
    ("bill", _settle("2024-02-01 01:00")),
    ("give back", lambda b: b.refund_instance("m", now=NOW + 4000, idem="9")),
    ("grow", _count("2024-02-01 00:10", ("s1", "calls", 12_000_500), ("s2", CLIENT, 6 * GIB))),
    ("bill late usage", _settle("2024-02-01 02:00")),
    ("adjust", lambda b: b.adjust("a", hour=NOW // 3600, instance="s1", meter="calls", amount_e8=77, reason="x",
                                  now=NOW + 9000, idem="10")),
    ("regrant", lambda b: b.regrant_free("a", now=NOW + 9100, idem="11")),
    ("use all", _count("2024-02-01 02:10", ("s1", CLIENT, 900 * GIB), ("s2", "calls", 5))),
    ("owe", _settle("2024-02-01 03:00")),
    ("suspend", _settle("2024-02-02 03:00:01")),
    ("resume", lambda b: b.top_up("a", cash=200 * E8, now=at("2024-02-03 00:00"), idem="12")),
    ("run on", _settle("2024-02-03 02:00")),
    ("release", lambda b: b.release_instance("d", now=at("2024-02-03 02:30"), idem="13")),
    ("month's end", _settle("2024-03-03 00:00")),
]  # fmt: skip


def reopened(engine: Engine) -> Billing:
    """The store as the next process finds it."""
    return Billing(engine, load_price_book("usd"), load_catalog(), is_migrated=True)


def founded(engine: Engine) -> Billing:
    with transaction(engine) as connection:
        create_all(connection)
    billing = reopened(engine)
    billing.open_account("a", NOW - 86_400, alert_below_e8=50 * E8)
    billing.open_shared_instance("a", "s1", "ap-guangzhou", NOW - 86_400)
    # Settled in the same transactions.
    billing.open_account("b", NOW - 86_400, has_free_quota=False)
    billing.open_shared_instance("b", "s2", "ap-guangzhou", NOW - 86_400)
    return billing


def content(billing: Billing) -> dict[str, Any]:
    shown = {
        id: {**billing.account(id, at("2024-04-01 00:00")), "settlements": billing.settlements(id)} for id in ("a", "b")
    }
    return {**shown, "balances": billing.balances()}


def statements_of(engine: Engine, step: Step) -> int:
    """How many statements the step takes, done whole."""
    number = 0

    def note(*_: Any) -> None:
        nonlocal number
        number += 1

    event.listen(engine, "before_cursor_execute", note)
    try:
        step(reopened(engine))
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return number


def copied(store: sqlite3.Connection) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:")
    store.backup(copy)
    return copy


def crash_and_repeat(engine: Engine, step: Step, after: int, expected: dict[str, Any]) -> None:
    with fuse(engine, after), pytest.raises(Fuse):
        step(reopened(engine))
    billing = reopened(engine)
    assert billing.reconcile() == [], f"after {after} statements"
    step(billing)
    # Done once more, as by a client that never saw the answer, it changes nothing.
    step(billing)
    assert content(billing) == expected, f"after {after} statements"


def test_at_statements_all_over_on_sqlite() -> None:
    engine = open_engine("sqlite://")
    founded(engine)
    connection = engine.raw_connection()
    store: Any = connection.driver_connection
    turn = 0
    for name, step in HISTORY:
        before = copied(store)
        number = statements_of(engine, step)
        after, expected = copied(store), content(reopened(engine))
        assert reopened(engine).reconcile() == [], name
        for statements in range(number):
            turn += 1
            if turn % SQLITE_STRIDE == 0:
                before.backup(store)
                crash_and_repeat(engine, step, statements, expected)
        after.backup(store)
    connection.close()
    engine.dispose()
    assert turn > 300


def test_at_statements_all_over_on_postgresql(postgres_server: PostgresServer) -> None:
    url = postgres_server.database()
    engine = open_engine(url)
    founded(engine)
    turn = 0
    for _, step in HISTORY:
        engine.dispose()
        before = postgres_server.database(url)
        number = statements_of(engine, step)
        expected = content(reopened(engine))
        for statements in range(number):
            turn += 1
            if turn % POSTGRES_STRIDE == 0:
                copy = open_engine(postgres_server.database(before))
                crash_and_repeat(copy, step, statements, expected)
                copy.dispose()
    assert reopened(engine).reconcile() == []
    engine.dispose()
    assert turn > 300
