"""What is refused names its rule, and leaves the store as it was, row for row; on both engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from billing import tables
from billing.errors import REFUSAL_CODES, Refused
from billing.service import Billing
from config.money import E8
from metering.database import open_engine, transaction
from metering.tables import metadata as metered
from tests.billing.world import GIB, World, at
from tests.conftest import ENGINES

NOW = at("2024-02-10 12:00")
PACK: dict[str, Any] = {"meter": "egress", "quantity": GIB, "months": 1, "price": E8}
SPEC: dict[str, Any] = {"spec": "dedicated-2500", "region": "ap-guangzhou"}


def world_in(engine: Engine | None = None) -> World:
    """An account with something of everything: money, a pack in use and one that is not, instances of both kinds."""
    world = World(engine, cash=100, has_free_quota=True)
    billing, before = world.billing, NOW - 86_400
    billing.buy_pack("a", "used", **PACK, now=before)
    billing.buy_pack("a", "spare", **PACK, now=before)
    billing.refund_pack("spare", now=before)
    billing.buy_pack("a", "old", **PACK, now=at("2024-01-01 01:00"))
    billing.buy_instance("a", "second", price=10_000, now=before, **SPEC)
    billing.buy_instance("a", "month", price=9 * E8, months=1, now=before, **SPEC)
    billing.buy_instance("a", "back", price=9 * E8, months=1, now=before, **SPEC)
    billing.refund_instance("back", now=before + 60)
    world.count("2024-02-10 10:30", 2 * GIB, "egress:client:internet:application")
    billing.top_up("a", cash=1, now=NOW - 60, idem="k")
    world.settle("2024-02-10 12:00")
    return world


@pytest.fixture(scope="module", params=ENGINES)
def shared_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """One for all of an engine: no test changes anything."""
    server: Any = request.getfixturevalue("postgres_server") if request.param == "postgresql" else None
    engine = open_engine("sqlite://" if server is None else server.database())
    yield world_in(engine)
    engine.dispose()


@pytest.fixture
def world() -> Iterator[World]:
    made = world_in()
    yield made
    made.engine.dispose()


def content(engine: Engine) -> dict[str, list[Any]]:
    """Every row of every table."""
    with transaction(engine) as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(table.select())), key=repr)
            for metadata in (tables.metadata, metered)
            for table in metadata.sorted_tables
        }


def indebted(world: World, until: str | None = None) -> None:
    world.count("2024-02-10 12:30", 2000 * GIB, "egress:client:internet:application")
    world.settle("2024-02-10 13:00")
    if until is not None:
        world.settle("2024-02-11 13:00:01")
        world.settle(until)


Ask = Callable[[Billing], Any]


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda b: b.buy_pack("a", "n", **PACK | {"price": 900 * E8}, now=NOW), "insufficient_funds"),
        (lambda b: b.buy_instance("a", "n", price=900 * E8, months=1, now=NOW, **SPEC), "insufficient_funds"),
        (lambda b: b.buy_instance("a", "n", price=E8, now=NOW, **SPEC), "insufficient_funds"),
        (lambda b: b.renew_instance("month", months=60, now=NOW), "insufficient_funds"),
        (lambda b: b.refund_pack("used", now=NOW), "pack_used"),
        (lambda b: b.refund_pack("spare", now=NOW), "pack_refunded"),
        (lambda b: b.refund_pack("old", now=NOW), "pack_expired"),
        (lambda b: b.refund_pack("free-calls-1", now=NOW), "pack_source"),
        (lambda b: b.refund_pack("none", now=NOW), "not_found"),
        (lambda b: b.buy_instance("a", "n", price=1, now=NOW, **SPEC | {"region": "ap-mumbai"}), "region_unsupported"),
        (lambda b: b.buy_instance("a", "second", price=1, now=NOW, **SPEC), "exists"),
        (lambda b: b.release_instance("month", now=NOW), "wrong_charge"),
        (lambda b: b.refund_instance("second", now=NOW), "wrong_charge"),
        (lambda b: b.renew_instance("back", months=1, now=NOW), "not_active"),
        (lambda b: b.refund_instance("none", now=NOW), "not_found"),
        (lambda b: b.top_up("a", cash=2, now=NOW, idem="k"), "idempotency_mismatch"),
        (lambda b: b.adjust("a", hour=NOW // 3600, instance="s1", meter="calls", amount_e8=1, reason="r",
                            now=NOW), "not_found"),
        (lambda b: b.require_service("back"), "not_active"),
    ],
)  # fmt: skip
def test_a_refused_operation_changes_nothing(shared_world: World, ask: Ask, code: str) -> None:
    refused_and_unchanged(shared_world, ask, code)


@pytest.mark.parametrize(
    ("ask", "until", "code"),
    [
        (lambda b: b.buy_pack("a", "n", **PACK, now=at("2024-02-10 14:00")), None, "in_arrears"),
        (lambda b: b.buy_pack("a", "n", **PACK, now=at("2024-02-12 00:00")), "2024-02-12 00:00", "suspended"),
        (lambda b: b.require_service("s1"), "2024-02-12 00:00", "suspended"),
        (lambda b: b.refund_instance("month", now=at("2024-02-19 00:00")), "2024-02-19 00:00", "destroyed"),
    ],
)
def test_who_owes_is_refused_and_nothing_changes(world: World, ask: Ask, until: str | None, code: str) -> None:
    indebted(world, until)
    refused_and_unchanged(world, ask, code)


def refused_and_unchanged(world: World, ask: Ask, code: str) -> None:
    before = content(world.engine)
    with pytest.raises(Refused) as caught:
        ask(world.billing)
    assert caught.value.code == code
    rule = REFUSAL_CODES[code]
    assert rule is None or caught.value.detail.endswith(f" ({rule})")
    assert content(world.engine) == before


def test_a_vetoed_refund_changes_nothing(world: World) -> None:
    world.billing.veto_refunds("a", True, NOW)
    refused_and_unchanged(world, lambda b: b.refund_instance("month", now=NOW), "refund_vetoed")
