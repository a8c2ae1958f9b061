"""Passive ejection (L9, DESIGN 1.7): five failures in a row, a time out, one trial."""

from __future__ import annotations

import pytest

from gateway.proxy.target import FAILURES_TO_EJECT
from tests.gateway.proxy.targets import EJECT_S, Group, fail

BALANCES = ["round_robin", "least_outstanding", "client_hash"]


def ejected_group(balance: str = "round_robin") -> Group:
    group = Group(balance, [1, 1])
    fail(group.targets[0], FAILURES_TO_EJECT, now_s=100.0)
    assert group.told == [("ejected", group.targets[0].url)]
    return group


def test_failures_count_in_a_row_only() -> None:
    group = Group("round_robin", [1, 1])
    for _ in range(10):
        fail(group.targets[0], FAILURES_TO_EJECT - 1)
        group.targets[0].succeeded(0.0)
    assert group.told == []
    assert set(group.picks(4)) == set(group.targets)


@pytest.mark.parametrize("balance", BALANCES)
def test_an_ejected_target_gets_nothing_then_one_trial(balance: str) -> None:
    group = ejected_group(balance)
    out, other = group.targets
    assert set(group.picks(20, now_s=100.0 + EJECT_S - 0.1)) == {other}
    due_s = 100.0 + EJECT_S
    assert group.pick(due_s) is out
    assert set(group.picks(20, now_s=due_s)) == {other}
    out.succeeded(began_s=due_s)
    assert group.told[-1] == ("returned", out.url)
    assert not out.is_ejected and out in group.group.usable


def test_a_failed_trial_ejects_for_as_long_again() -> None:
    group = ejected_group()
    out, other = group.targets
    assert out in group.picks(1, now_s=110.0)
    out.failed(110.5)
    assert set(group.picks(20, now_s=110.5 + EJECT_S - 0.1)) == {other}
    assert group.pick(110.5 + EJECT_S) is out


def test_a_trial_that_is_never_heard_of_does_not_block_the_target_for_ever() -> None:
    group = ejected_group()
    out, other = group.targets
    assert group.pick(110.0) is out  # its client leaves; nobody reports
    assert set(group.picks(20, now_s=119.0)) == {other}
    assert group.pick(110.0 + EJECT_S) is out


def test_late_failures_of_older_exchanges_do_not_prolong_an_ejection() -> None:
    group = ejected_group()
    fail(group.targets[0], 40, now_s=109.0)
    assert group.pick(100.0 + EJECT_S) is group.targets[0]
    assert group.told == [("ejected", group.targets[0].url)]


def test_a_late_success_of_an_older_exchange_does_not_return_a_target() -> None:
    """A long download that ends well says nothing of a target that now refuses connections."""
    group = ejected_group()
    out = group.targets[0]
    out.succeeded(began_s=99.0)
    assert out.is_ejected
    assert group.pick(110.0) is out
    out.succeeded(began_s=99.0)
    assert out.is_ejected
    out.succeeded(began_s=110.0)
    assert not out.is_ejected


def test_a_retry_is_no_trial() -> None:
    group = Group("round_robin", [1, 1, 1])
    out = group.targets[0]
    fail(out, FAILURES_TO_EJECT, now_s=100.0)
    assert all(group.pick(200.0, avoid=group.targets[1]) is group.targets[2] for _ in range(5))


def test_passive_ejection_never_takes_the_last() -> None:
    group = ejected_group()
    out, other = group.targets
    fail(other, 100, now_s=101.0)
    assert set(group.picks(4, now_s=101.0)) == {other}
    assert group.pick(110.0) is out
    out.succeeded(110.0)
    other.failed(111.0)  # Now it is not the last, and its row of failures has not been broken.
    assert other.is_ejected


def test_an_ejected_target_serves_again_when_probes_take_the_others() -> None:
    group = ejected_group()
    out, other = group.targets
    group.group.probed(other, is_down=True)
    assert group.picks(3, now_s=101.0) == [out] * 3
    assert group.told[-1] == ("returned", out.url)


def test_a_good_probe_ends_an_ejection() -> None:
    group = ejected_group()
    out = group.targets[0]
    group.group.probed(out, is_down=True)
    group.group.probed(out, is_down=False)
    assert set(group.picks(4, now_s=101.0)) == set(group.targets)
