"""Passive ejection (L9, DESIGN 1.7): five failures in a row, a time out, one trial."""

from __future__ import annotations

import pytest

from gateway.proxy.target import FAILURES_TO_EJECT
from tests.gateway.proxy.targets import EJECT_S, Pool, fail

BALANCES = ["round_robin", "least_outstanding", "client_hash"]


def ejected_pool(balance: str = "round_robin") -> Pool:
    pool = Pool(balance, [1, 1])
    fail(pool.targets[0], FAILURES_TO_EJECT, now_s=100.0)
    assert pool.told == [("ejected", pool.targets[0].url)]
    return pool


def test_failures_count_in_a_row_only() -> None:
    pool = Pool("round_robin", [1, 1])
    for _ in range(10):
        fail(pool.targets[0], FAILURES_TO_EJECT - 1)
        pool.targets[0].succeeded(0.0)
    assert pool.told == []
    assert set(pool.picks(4)) == set(pool.targets)


@pytest.mark.parametrize("balance", BALANCES)
def test_an_ejected_target_gets_nothing_then_one_trial(balance: str) -> None:
    pool = ejected_pool(balance)
    out, other = pool.targets
    assert set(pool.picks(20, now_s=100.0 + EJECT_S - 0.1)) == {other}
    due_s = 100.0 + EJECT_S
    assert pool.pick(due_s) is out
    assert set(pool.picks(20, now_s=due_s)) == {other}
    out.succeeded(began_s=due_s)
    assert pool.told[-1] == ("returned", out.url)
    assert not out.is_ejected and out in pool.group.usable


def test_a_failed_trial_ejects_for_as_long_again() -> None:
    pool = ejected_pool()
    out, other = pool.targets
    assert out in pool.picks(1, now_s=110.0)
    out.failed(110.5)
    assert set(pool.picks(20, now_s=110.5 + EJECT_S - 0.1)) == {other}
    assert pool.pick(110.5 + EJECT_S) is out


def test_a_trial_that_is_never_heard_of_does_not_block_the_target_for_ever() -> None:
    pool = ejected_pool()
    out, other = pool.targets
    assert pool.pick(110.0) is out  # its client leaves; nobody reports
    assert set(pool.picks(20, now_s=119.0)) == {other}
    assert pool.pick(110.0 + EJECT_S) is out


def test_late_failures_of_older_exchanges_do_not_prolong_an_ejection() -> None:
    pool = ejected_pool()
    fail(pool.targets[0], 40, now_s=109.0)
    assert pool.pick(100.0 + EJECT_S) is pool.targets[0]
    assert pool.told == [("ejected", pool.targets[0].url)]


def test_a_late_success_of_an_older_exchange_does_not_return_a_target() -> None:
    """A long download that ends well says nothing of a target that now refuses connections."""
    pool = ejected_pool()
    out = pool.targets[0]
    out.succeeded(began_s=99.0)
    assert out.is_ejected
    assert pool.pick(110.0) is out
    out.succeeded(began_s=99.0)
    assert out.is_ejected
    out.succeeded(began_s=110.0)
    assert not out.is_ejected


def test_a_retry_is_no_trial() -> None:
    pool = Pool("round_robin", [1, 1, 1])
    out = pool.targets[0]
    fail(out, FAILURES_TO_EJECT, now_s=100.0)
    assert all(pool.pick(200.0, avoid=pool.targets[1]) is pool.targets[2] for _ in range(5))


def test_passive_ejection_never_takes_the_last() -> None:
    pool = ejected_pool()
    out, other = pool.targets
    fail(other, 100, now_s=101.0)
    assert set(pool.picks(4, now_s=101.0)) == {other}
    assert pool.pick(110.0) is out
    out.succeeded(110.0)
    other.failed(111.0)  # Now it is not the last, and its row of failures has not been broken.
    assert other.is_ejected


def test_an_ejected_target_serves_again_when_probes_take_the_others() -> None:
    pool = ejected_pool()
    out, other = pool.targets
    pool.group.probed(other, is_down=True)
    assert pool.picks(3, now_s=101.0) == [out] * 3
    assert pool.told[-1] == ("returned", out.url)


def test_a_good_probe_ends_an_ejection() -> None:
    pool = ejected_pool()
    out = pool.targets[0]
    pool.group.probed(out, is_down=True)
    pool.group.probed(out, is_down=False)
    assert set(pool.picks(4, now_s=101.0)) == set(pool.targets)
