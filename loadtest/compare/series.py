"""Records of a run as series by second, ready to be drawn. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from loadtest.compare.recording import Recorder, Second, milliseconds_of

P50, P99 = 0.50, 0.99
# A percentile of fewer answers than this says more of chance than of the gateway.
ANSWERS_MIN: Final = 10


@dataclass(frozen=True)
class Series:
    """By whole second from the start; a latency is NaN where too little was answered."""

    seconds: list[int]
    offered: list[int]
    admitted: list[int]
    refused: list[int]
    failed: list[int]
    p50_ms: list[float]
    p99_ms: list[float]


def series(record: Recorder, start_s: int, seconds: int) -> Series:
    """All kinds together. ``start_s``: the epoch's second that counts as 0."""
    rows = [Second() for _ in range(seconds)]
    for (_, at), one in record.seconds.items():
        if 0 <= at - start_s < seconds:
            rows[at - start_s] += one
    return Series(
        list(range(seconds)),
        [row.sent for row in rows],
        [row.admitted for row in rows],
        [row.refused for row in rows],
        [row.failed for row in rows],
        [percentile(row.latencies, P50) for row in rows],
        [percentile(row.latencies, P99) for row in rows],
    )


def total(record: Recorder, wanted: Callable[[str, int], bool] = lambda kind, at: True) -> Second:
    """Sums over the kinds and seconds that are wanted."""
    whole = Second()
    for (kind, at), one in record.seconds.items():
        if wanted(kind, at):
            whole += one
    return whole


def kinds(record: Recorder) -> list[str]:
    return sorted({kind for kind, _ in record.seconds})


def percentile(latencies: Counter[int], share: float, answers_min: int = ANSWERS_MIN) -> float:
    """Milliseconds under which ``share`` of the answers came; NaN for too few of them."""
    answers = latencies.total()
    if answers < answers_min:
        return float("nan")
    left = share * answers
    for step, count in sorted(latencies.items()):
        left -= count
        if left <= 0:
            return milliseconds_of(step)
    return milliseconds_of(max(latencies))
