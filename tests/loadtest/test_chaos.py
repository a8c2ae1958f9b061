"""The chaos run, small: the same code that runs at full size by hand, `python -m loadtest.chaos`."""

from __future__ import annotations

from rich.console import Console

from loadtest.chaos import Outcome, Plan, _claims, run
from loadtest.client import Tally


def test_kills_of_workers_and_of_the_control_process_lose_nothing() -> None:
    plan = Plan(requests=4000, worker_kills=5, control_kills=1, rate=600, connections=8, seed=7)
    outcome = run(plan, Console(quiet=True))
    assert outcome.is_good, outcome.claims
    assert len(outcome.claims) == 8


def test_what_is_lost_or_made_up_breaks_a_claim() -> None:
    """The claims can fail: one request less than was completed, one more than was sent, bytes nobody asked for."""
    plan = Plan(100, 0, 0, 0, 1, 0)
    tally = Tally(sent=100, broken=2, bytes_read=1000)
    tally.completed[200] = 98
    for counted, broken in (
        ((98, 1000), []),
        ((97, 1000), ["completed <= counted"]),
        ((101, 1000), ["counted <= sent"]),
        ((100, 999), ["bytes read <= counted"]),
        ((100, 9999), ["the rest was in flight"]),
    ):
        outcome = Outcome()
        _claims(outcome, plan, tally, counted)
        assert [name for name, holds, _ in outcome.claims if not holds] == broken
