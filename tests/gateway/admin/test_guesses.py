"""Wrong tokens are slowed down, counted and told of; the right one is not kept out by them."""

import logging

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from prometheus_client import CollectorRegistry, generate_latest

from gateway.admin.access import Guard
from gateway.admin.client import client_of
from gateway.admin.guesses import (
    INTERVAL_OF_ALL_S,
    INTERVAL_OF_CLIENT_S,
    TRIES_OF_ALL,
    TRIES_OF_CLIENT,
    Guesses,
)
from gateway.admin.session import GUARD_FIELD
from gateway.admin.token import Token
from gateway.admin.watch import Watch
from gateway.control.errors import Refusal
from tests.gateway.admin.desk import TOKEN


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def outcome(guard: Guard, token: str, client: str = "10.0.0.1") -> str:
    try:
        guard.require(token, client)
    except Refusal as refusal:
        return refusal.code
    except web.HTTPTooManyRequests as error:
        return f"wait {error.headers['Retry-After']}"
    return "in"


async def test_a_client_has_some_tries_and_then_one_at_a_time() -> None:
    clock = Clock()
    guard = Guard(Token("a" * 32), Watch(), Guesses(clock))
    assert [outcome(guard, "wrong") for _ in range(TRIES_OF_CLIENT)] == ["unauthorized"] * TRIES_OF_CLIENT
    assert outcome(guard, "wrong") == f"wait {INTERVAL_OF_CLIENT_S:.0f}"
    assert outcome(guard, "wrong", "10.0.0.2") == "unauthorized"
    assert outcome(guard, "a" * 32) == "in"
    for _ in range(1000):
        outcome(guard, "wrong")
    # What came on top made it no longer.
    clock.now_s += INTERVAL_OF_CLIENT_S
    assert [outcome(guard, "wrong") for _ in range(2)] == ["unauthorized", f"wait {INTERVAL_OF_CLIENT_S:.0f}"]


async def test_many_clients_together_have_no_more_than_all_may() -> None:
    clock = Clock()
    guard = Guard(Token("a" * 32), Watch(), Guesses(clock))
    outcomes = [outcome(guard, "wrong", f"10.0.{i // 250}.{i % 250}") for i in range(3000)]
    assert outcomes.count("unauthorized") == TRIES_OF_ALL
    assert outcome(guard, "a" * 32, "10.9.9.9") == "in"
    clock.now_s += INTERVAL_OF_ALL_S
    assert outcome(guard, "wrong", "10.9.9.9") == "unauthorized"


async def test_a_token_that_could_be_guessed_is_not_looked_at_while_its_client_has_to_wait() -> None:
    clock = Clock()
    guard = Guard(Token("short"), Watch(), Guesses(clock))
    for _ in range(TRIES_OF_CLIENT):
        outcome(guard, "wrong")
    assert outcome(guard, "short") == f"wait {INTERVAL_OF_CLIENT_S:.0f}"
    assert outcome(guard, "short", "10.0.0.2") == "in"
    clock.now_s += INTERVAL_OF_CLIENT_S
    assert outcome(guard, "short") == "in"


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, "-"),
    ],
)
def test_a_client_is_an_address_or_its_network(address: str | None, client: str) -> None:
    assert client_of(address) == client


async def test_api_and_sign_in_count_together_and_the_operator_beside_them_comes_in(stranger: TestClient) -> None:
    guard = {GUARD_FIELD: "1"}
    statuses = []
    for _ in range(TRIES_OF_CLIENT):
        statuses.append((await stranger.get("/v1/node", headers={"Authorization": "Bearer wrong"})).status)
        statuses.append((await stranger.post("/console/session", json={"token": "wrong"}, headers=guard)).status)
    assert statuses == [401] * TRIES_OF_CLIENT + [429] * TRIES_OF_CLIENT
    refused = await stranger.get("/v1/node", headers={"Authorization": "Bearer wrong"})
    assert 0 < int(refused.headers["Retry-After"]) <= INTERVAL_OF_CLIENT_S
    assert (await refused.json())["code"] == "too_many_requests"
    assert (await stranger.get("/v1/node", headers={"Authorization": f"Bearer {TOKEN}"})).status == 200
    assert (await stranger.post("/console/session", json={"token": TOKEN}, headers=guard)).status == 204
    assert (await stranger.get("/v1/node")).status == 200


async def test_what_is_turned_away_is_counted_and_told_once_a_while(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch()
    registry = CollectorRegistry()
    registry.register(watch)
    with caplog.at_level(logging.WARNING):
        for _ in range(500):
            watch.refused("token", "10.0.0.1")
        watch._requests._pause.cancel()  # type: ignore[union-attr]
        watch._requests._tell()
    assert [record.getMessage() for record in caplog.records] == [
        f"{number} requests to the admin API were refused: {number} for a wrong token; the last of 10.0.0.1"
        for number in (1, 499)
    ]
    assert 'tollgate_admin_refused_total{reason="token"} 500.0' in generate_latest(registry).decode()
    watch._requests._pause.cancel()  # type: ignore[union-attr]
