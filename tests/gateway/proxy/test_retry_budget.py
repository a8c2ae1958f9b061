"""The retry budget: a fifth of the requests, and a constant, over a sliding window."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.proxy.retry_budget import RETRIES_MIN, RETRY_RATIO, WINDOW_S, RetryBudget


def taken(budget: RetryBudget, wishes: int, calls: int, now_s: float) -> int:
    return sum(budget.take(calls, now_s) for _ in range(wishes))


def test_a_quiet_service_may_retry_and_not_for_ever() -> None:
    assert taken(RetryBudget(0.0), 1000, calls=1, now_s=1.0) == RETRIES_MIN + 1  # 0.2 of one call rounds up


def test_a_busy_service_may_retry_a_fifth_on_top() -> None:
    assert taken(RetryBudget(0.0), 5000, calls=10_000, now_s=5.0) == 2000 + RETRIES_MIN


def test_what_was_taken_comes_back_as_the_window_slides() -> None:
    budget = RetryBudget(0.0)
    assert taken(budget, 500, calls=0, now_s=9.0) == RETRIES_MIN
    assert taken(budget, 500, calls=0, now_s=WINDOW_S) == 0
    assert taken(budget, 500, calls=0, now_s=WINDOW_S * 1.5) == RETRIES_MIN / 2
    assert taken(budget, 500, calls=0, now_s=WINDOW_S * 10) == RETRIES_MIN


def test_calls_of_long_ago_buy_nothing() -> None:
    budget = RetryBudget(0.0)
    assert taken(budget, 5000, calls=100_000, now_s=10_000.0) == RETRIES_MIN + 100_000 * WINDOW_S / 10_000 * RETRY_RATIO


def test_the_turn_of_an_hour_is_no_debt() -> None:
    """A new hour's counter file begins at zero."""
    budget = RetryBudget(0.0)
    budget.take(1_000_000, 1.0)
    budget.take(1_000_000, 11.0)
    assert budget.take(5, 12.0)


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 200), st.integers(0, 60)), min_size=1, max_size=40))
@settings(max_examples=80, deadline=None)
def test_over_any_run_retries_stay_within_the_ratio_and_the_constant(steps: list[tuple[float, int, int]]) -> None:
    budget, now_s, calls, retries = RetryBudget(0.0), 0.0, 0, 0
    for wait_s, more, wishes in steps:
        now_s += wait_s
        calls += more
        retries += taken(budget, wishes, calls, now_s)
    windows = now_s / WINDOW_S + 1
    # A window's calls count in the next one too, in the part of it that the window still covers.
    assert retries <= 2 * RETRY_RATIO * calls + (RETRIES_MIN + 1) * windows * 1.5
