from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest

from loadtest.compare.recording import Recorder, milliseconds_of, read, step_of
from loadtest.compare.series import P50, P99, kinds, percentile, series, total


def record() -> Recorder:
    recorder = Recorder()
    recorder.add("json", 200, 1000.9, 200.0)  # sent in one second, answered in the next
    recorder.add("json", 429, 1000.1, 1.0)
    recorder.add("json", 503, 1000.2, 1.0)
    recorder.add("json", 0, 1000.3, 1.0, ConnectionResetError("gone"))
    recorder.add("websocket", 101, 1001.0, 2.0)
    recorder.read_bytes = 77
    return recorder


def test_sent_counts_when_it_was_sent_and_answers_when_they_came() -> None:
    one = series(record(), 1000, 3)
    assert one.offered == [4, 1, 0]
    assert one.admitted == [0, 2, 0]
    assert one.refused == [1, 0, 0]
    assert one.failed == [2, 0, 0]


def test_everything_sent_ends_as_exactly_one_thing() -> None:
    whole = total(record())
    assert whole.sent == whole.admitted + whole.refused + whole.failed == 5


def test_no_answer_is_told_from_a_bad_one() -> None:
    recorder = record()
    assert recorder.broken == 1
    assert recorder.failures == {"json: 503 after 0 s": 1, "json: ConnectionResetError('gone') after 0 s": 1}


def test_what_processes_wrote_is_read_back_as_one(tmp_path: Path) -> None:
    for name in ("1.json", "2.json"):
        record().write(tmp_path / name)
    whole = read(tmp_path.glob("*.json"))
    assert (whole.read_bytes, whole.broken, total(whole).sent) == (154, 2, 10)
    assert total(whole).latencies == total(record()).latencies + total(record()).latencies
    assert kinds(whole) == ["json", "websocket"]


@pytest.mark.parametrize("milliseconds", [0.05, 0.7, 1.0, 33.3, 1234.5])
def test_a_latency_is_kept_within_a_twentieth(milliseconds: float) -> None:
    assert milliseconds_of(step_of(milliseconds)) == pytest.approx(milliseconds, rel=0.024)


def test_percentiles_are_of_the_answers_and_none_of_too_few() -> None:
    latencies = Counter({step_of(1.0): 98, step_of(500.0): 2})
    assert percentile(latencies, P50) == pytest.approx(1.0, rel=0.03)
    assert percentile(latencies, P99) == pytest.approx(500.0, rel=0.03)
    assert math.isnan(percentile(Counter({step_of(1.0): 3}), P50))


def test_a_total_takes_what_is_wanted_only() -> None:
    assert total(record(), lambda kind, at: kind == "websocket").sent == 1
    assert total(record(), lambda kind, at: at == 1000).sent == 4
