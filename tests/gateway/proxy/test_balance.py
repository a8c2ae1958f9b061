"""Which target is next (L10): exact shares, least busy, and clients that stay where they are."""

from __future__ import annotations

from collections import Counter
from math import gcd

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.proxy.balance import TURNS_MAX, turns
from tests.gateway.proxy.targets import Group, fail

BALANCES = ["round_robin", "least_outstanding", "client_hash"]


@given(weights=st.lists(st.integers(1, 50), min_size=2, max_size=8), rounds=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_round_robin_gives_each_its_weight_exactly(weights: list[int], rounds: int) -> None:
    group = Group("round_robin", weights)
    round_length = sum(weights) // gcd(*weights)
    counts = Counter(group.picks(round_length * rounds))
    assert [counts[target] for target in group.targets] == [w // gcd(*weights) * rounds for w in weights]


@given(weights=st.lists(st.integers(1, 20), min_size=2, max_size=6))
@settings(max_examples=100, deadline=None)
def test_turns_are_spread_evenly_over_the_round(weights: list[int]) -> None:
    """At a part f of the round a target has had f of its turns, to half a turn; so all have, to half a turn each."""
    group = Group("round_robin", weights)
    counts: Counter[object] = Counter()
    for at, target in enumerate(group.picks(sum(weights) // gcd(*weights)), 1):
        counts[target] += 1
        for one, weight in zip(group.targets, weights, strict=True):
            share = weight / sum(weights)
            assert abs(counts[one] - at * share) <= 0.5 + len(weights) / 2 * share + 1e-9


def test_weights_are_reduced_and_a_round_is_bounded() -> None:
    members = [(target, 1000) for target in Group("round_robin", [1] * 256).targets]
    assert len(turns(members)) == 256
    uneven = [(target, 1000 - index) for index, (target, _) in enumerate(members)]
    round_ = turns(uneven)
    assert TURNS_MAX * 0.9 <= len(round_) <= TURNS_MAX * 1.1
    shares = Counter(round_)
    total = sum(weight for _, weight in uneven)
    for target, weight in uneven:
        assert abs(shares[target] / len(round_) - weight / total) < 1 / TURNS_MAX * 1.5


@pytest.mark.parametrize("balance", BALANCES)
def test_one_target_is_always_it_until_the_probes_take_it(balance: str) -> None:
    group = Group(balance, [7])
    only = group.targets[0]
    fail(only, 50)
    assert group.picks(3) == [only] * 3
    assert group.pick(avoid=only) is only
    group.group.probed(only, is_down=True)
    assert group.pick() is None
    group.group.probed(only, is_down=False)
    assert group.pick() is only


@pytest.mark.parametrize("balance", BALANCES)
def test_a_retry_goes_elsewhere_where_there_is_an_elsewhere(balance: str) -> None:
    group = Group(balance, [9, 1])
    for target in group.targets:
        assert all(group.pick(avoid=target) not in (target, None) for _ in range(20))
    group.group.probed(group.targets[1], is_down=True)
    assert group.pick(avoid=group.targets[0]) is group.targets[0]


@pytest.mark.parametrize("balance", BALANCES)
def test_probes_may_take_all_and_then_there_is_none(balance: str) -> None:
    group = Group(balance, [1, 1, 1])
    for target in group.targets:
        group.group.probed(target, is_down=True)
    assert group.pick() is None
    assert group.pick(avoid=group.targets[0]) is None
    group.group.probed(group.targets[1], is_down=False)
    assert set(group.picks(5)) == {group.targets[1]}


def test_what_is_out_leaves_the_shares_of_the_others_as_they_are() -> None:
    group = Group("round_robin", [5, 2, 1])
    group.group.probed(group.targets[0], is_down=True)
    assert Counter(group.picks(300)) == {group.targets[1]: 200, group.targets[2]: 100}


def test_least_outstanding_goes_by_weight_and_takes_equals_in_turn() -> None:
    group = Group("least_outstanding", [3, 1, 1])
    for _ in range(50):
        target = group.pick()
        assert target is not None
        target.outstanding += 1
    assert [target.outstanding for target in group.targets] == [30, 10, 10]
    idle = Group("least_outstanding", [1, 1, 1])
    assert Counter(idle.picks(30)) == dict.fromkeys(idle.targets, 10)


def test_a_target_that_swallows_dials_does_not_look_idle() -> None:
    group = Group("least_outstanding", [1, 1])
    group.targets[0].dialing = 3
    assert set(group.picks(4)) == {group.targets[1]}


def test_least_outstanding_finds_a_free_one_among_many() -> None:
    group = Group("least_outstanding", [1] * 100)
    for target in group.targets[1:]:
        target.outstanding = 5
    assert group.targets[0] in group.picks(100)


addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)


@given(
    clients=st.lists(addresses, min_size=1, max_size=60, unique=True),
    weights=st.lists(st.integers(1, 5), min_size=2, max_size=6),
    gone=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_a_target_that_goes_moves_its_own_clients_only(clients: list[str], weights: list[int], gone: int) -> None:
    group = Group("client_hash", weights)
    lost = group.targets[gone % len(weights)]
    before = {client: group.pick(client=client) for client in clients}
    # On another worker, after a restart, in another order of targets: the same.
    other = Group("client_hash", weights[::-1], [target.url for target in group.targets[::-1]])
    homes = {client: target.url for client, target in before.items() if target}
    assert {client: getattr(other.pick(client=client), "url", None) for client in clients[::-1]} == homes
    group.group.probed(lost, is_down=True)
    for client, home in before.items():
        now = group.pick(client=client)
        assert now is not lost
        assert home is lost or now is home
    group.group.probed(lost, is_down=False)
    assert {client: group.pick(client=client) for client in clients} == before


def test_clients_are_spread_by_weight() -> None:
    group = Group("client_hash", [3, 1])
    counts = Counter(group.pick(client=f"10.{n >> 8}.{n & 255}.7") for n in range(8000))
    assert 2.6 < counts[group.targets[0]] / counts[group.targets[1]] < 3.4
