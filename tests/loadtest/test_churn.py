"""Item by item what clients may notice when everything behind them changes: nothing. Counts only, at a small size."""

from collections.abc import Iterator

import pytest

from loadtest.churn import Size, churn
from loadtest.traffic import Counts, Mix

SMALL = Size(
    Mix(rate=120, connections=20, slow_s=1.0), drain_s=4, quiet_s=0.5, reloads=5, restarts=1, kills=3, target_s=1
)


@pytest.fixture(scope="module")
def phases() -> Iterator[dict[str, Counts]]:
    yield churn(SMALL)


def test_every_request_came_to_an_end_of_one_kind(phases: dict[str, Counts]) -> None:
    total = sum(counts.sent for counts in phases.values())
    assert total > 300
    assert total == sum(counts.completed + counts.failed + counts.excused for counts in phases.values())


@pytest.mark.parametrize(
    "phase",
    ["quiet", "reloads (SIGHUP)", "rolling restarts", "kill -9 of workers", "a target dies, returns", "the end"],
)
def test_no_request_failed_and_no_connection_at_rest_was_closed_unannounced(
    phases: dict[str, Counts], phase: str
) -> None:
    counts = phases[phase]
    assert (counts.failed, counts.unannounced) == (0, 0), counts.reasons


def test_only_a_kill_cuts_requests_in_flight(phases: dict[str, Counts]) -> None:
    assert {name for name, counts in phases.items() if counts.excused} <= {"kill -9 of workers"}
