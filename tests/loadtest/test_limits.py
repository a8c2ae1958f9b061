"""Real runs of limits at a small size: never more than the contract lets through, over all workers and levels."""

import pytest

from loadtest.limits import measure_one, measure_three, most

SECONDS = 2.0


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_share_one_limit(workers: int) -> None:
    for qps, stream in measure_one(workers, (5, 50), SECONDS).items():
        admitted = len(stream.admitted_s)
        assert admitted + stream.refused == stream.sent
        assert stream.refused > 0
        # How much is offered on a busy machine is not up to the limit; that a good part is admitted, is.
        assert qps * SECONDS / 2 <= admitted <= most(qps, stream.ended_s - stream.began_s)


def test_three_limits_on_one_path_hold_at_once() -> None:
    for level, qps, streams in measure_three(2, SECONDS):
        lasted_s = max(stream.ended_s for stream in streams) - min(stream.began_s for stream in streams)
        admitted = sum(len(stream.admitted_s) for stream in streams)
        assert 0 < admitted <= most(qps, lasted_s), level
        assert any(stream.refused for stream in streams), level
