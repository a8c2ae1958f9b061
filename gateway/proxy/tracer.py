"""Which exchanges are traced, and the spans that wait to be sent (`gateway/span_export.py` sends them)."""

from __future__ import annotations

import random
import threading
from collections import deque
from typing import Any, Final, NamedTuple

from gateway.http.request import RequestHead
from gateway.proxy.trace_context import SAMPLED, TraceContext, child, parent_in, put, root
from metering.cells import SPANS
from metering.meter import Meter

BATCH_SPANS: Final = 256  # sent together


class Span(NamedTuple):
    """One exchange as a span. Instants in nanoseconds since 1970; ``error`` empty: it went well."""

    context: TraceContext
    state: str
    name: str
    began_ns: int
    ended_ns: int
    attributes: dict[str, Any]
    error: str


class Tracer:
    """One worker's. The loop adds spans, one thread takes them; nobody waits for the other."""

    def __init__(self, share: float, waiting_max: int) -> None:
        self._share = share
        self._waiting_max = waiting_max
        self._waiting: deque[Span] = deque()
        self._enough = min(BATCH_SPANS, (waiting_max + 1) // 2)
        self.wake = threading.Event()  # set: enough wait to be sent
        self._dropped = 0
        # the thread's
        self._exported = 0
        self._failed = 0
        # what of them is counted
        self._exported_before = 0
        self._failed_before = 0

    def begin(self) -> TraceContext:
        """A trace of its own, for what cannot be read."""
        return root(is_sampled=self._draws())

    def join(self, head: RequestHead, *, is_trusted: bool) -> TraceContext:
        """The exchange's place in the trace that the request names, or in a new one; written into ``head.fields``.

        Whether a trace is recorded is its first participant's to say, if the gateway trusts it: else anybody could
        have everything recorded. Who is not trusted keeps its trace and is sampled as others are.
        """
        parent = parent_in(head)
        if parent is None:
            context = root(is_sampled=self._draws())
        else:
            was_sampled = bool(parent.flags & SAMPLED)
            is_sampled = was_sampled if is_trusted else self._draws()
            if not is_sampled and not was_sampled:
                # Nothing is recorded here, so that the upstream's parent is the client (Trace Context 3.4).
                return TraceContext(parent.trace_id, parent.span_id, b"", parent.flags, is_recorded=False)
            context = child(parent, is_sampled=is_sampled)
        put(context, head)
        return context

    def add(self, span: Span) -> None:
        """Keeps a span to be sent; drops it where too many wait: a receiver that is away costs spans, no memory."""
        waiting = self._waiting
        if len(waiting) >= self._waiting_max:
            self._dropped += 1
            return
        waiting.append(span)
        if len(waiting) == self._enough:
            self.wake.set()

    def count(self, meter: Meter, row: int) -> None:
        """Adds what became of spans since the last call to the row. On the loop: a row has one writer."""
        exported, failed = self._exported, self._failed
        cells = meter.cells
        cells[row + SPANS["exported"]] += exported - self._exported_before
        cells[row + SPANS["dropped"]] += self._dropped + failed - self._failed_before
        self._exported_before, self._failed_before, self._dropped = exported, failed, 0

    def _draws(self) -> bool:
        return random.random() < self._share

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    # --- on the thread

    def take(self) -> list[Span]:
        """The next batch, oldest first; empty when none waits."""
        batch: list[Span] = []
        while self._waiting and len(batch) < BATCH_SPANS:
            batch.append(self._waiting.popleft())
        return batch

    def note(self, *, exported: int = 0, failed: int = 0) -> None:
        """What became of spans that were taken."""
        self._exported += exported
        self._failed += failed
