"""The spans that wait to be sent: how many there may be, when the thread is woken, and what is counted of them."""

from __future__ import annotations

from pathlib import Path

from gateway.proxy.trace_context import root
from gateway.proxy.tracer import BATCH_SPANS, Span, Tracer
from metering.cells import SPANS
from metering.clock import VirtualClock
from metering.meter import Meter


def span(number: int = 0) -> Span:
    return Span(root(is_sampled=True), "", str(number), 1, 2, {}, "")


def test_no_more_wait_than_may_and_those_beyond_are_counted_once(tmp_path: Path) -> None:
    tracer, meter = Tracer(1.0, 10), Meter(tmp_path, "n:b:w", VirtualClock())
    row = meter.row("-", "-", "-", "-")
    for number in range(15):
        tracer.add(span(number))
    assert tracer.waiting == 10
    assert [one.name for one in tracer.take()] == [str(number) for number in range(10)], "the oldest, in their order"
    tracer.note(exported=7)
    tracer.note(failed=3)
    for _ in range(2):
        tracer.count(meter, row)
        assert meter.cells[row + SPANS["exported"]] == 7
        assert meter.cells[row + SPANS["dropped"]] == 5 + 3
    meter.close()


def test_the_thread_is_woken_for_a_batch_or_half_of_what_may_wait() -> None:
    for waiting_max, enough in ((10, 5), (1, 1), (10_000, BATCH_SPANS)):
        tracer = Tracer(1.0, waiting_max)
        for number in range(enough):
            assert not tracer.wake.is_set(), number
            tracer.add(span())
        assert tracer.wake.is_set()
    assert len(tracer.take()) == BATCH_SPANS
    assert tracer.take() == []
