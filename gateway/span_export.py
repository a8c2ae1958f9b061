"""The thread that sends a worker's spans to an OpenTelemetry receiver (OTLP over HTTP). Needs the extra `otel`."""

from __future__ import annotations

import logging
import threading
import time
from importlib.metadata import version
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from gateway.proxy.tracer import Span, Tracer

INTERVAL_S: Final = 1.0  # A span that fills no batch waits so long at most.
TIMEOUT_S: Final = 5.0  # of one batch, its retries included
FAREWELL_S: Final = 1.0  # what a worker that ends waits for its last spans
_LOG_INTERVAL_S: Final = 60.0
_EXPORTER_LOG: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
log = logging.getLogger("tollgate.spans")


class SpanExport:
    """Sends what waits in a tracer, until it is closed. A receiver that is away costs spans and nothing else."""

    def __init__(self, tracer: Tracer, endpoint: str, node: str, writer: str) -> None:
        """``writer``: the worker's name, which no other has."""
        self._tracer = tracer
        logging.getLogger(_EXPORTER_LOG).addFilter(_OnceInAWhile())
        self._exporter = OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT_S)
        self._scope = InstrumentationScope("tollgate", version("tollgate"))
        # Beside these, what $OTEL_RESOURCE_ATTRIBUTES says.
        self._resource = Resource.create(
            {
                "service.name": "tollgate",
                "service.version": version("tollgate"),
                "service.instance.id": writer,
                "tollgate.node": node,
            }
        )
        self._sending = 0  # spans of the batch under way
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Sends the rest. Waits for FAREWELL_S at most; what is not sent by then counts as dropped."""
        self._ends.set()
        self._tracer.wake.set()
        self._thread.join(FAREWELL_S)
        if self._thread.is_alive():
            self._tracer.note(failed=self._sending + self._tracer.waiting)

    def _run(self) -> None:
        tracer = self._tracer
        while True:
            tracer.wake.wait(INTERVAL_S)
            tracer.wake.clear()
            is_last = self._ends.is_set()
            while batch := tracer.take():
                self._sending = len(batch)
                is_taken = self._is_taken(batch)
                self._sending = 0
                if is_taken:
                    tracer.note(exported=len(batch))
                else:
                    tracer.note(failed=len(batch))
            if is_last:
                return

    def _is_taken(self, batch: list[Span]) -> bool:
        try:
            return self._exporter.export([self._readable(span) for span in batch]) is SpanExportResult.SUCCESS
        except Exception:
            log.exception("%d spans were not sent", len(batch))
            return False

    def _readable(self, span: Span) -> ReadableSpan:
        """As the exporter takes it."""
        context = span.context
        trace_id = int(context.trace_id, 16)
        flags, state = TraceFlags(context.flags), TraceState.from_header([span.state]) if span.state else TraceState()
        parent = None
        if context.parent_id:
            parent = SpanContext(trace_id, int(context.parent_id, 16), True, flags, state)
        return ReadableSpan(
            name=span.name,
            context=SpanContext(trace_id, int(context.span_id, 16), False, flags, state),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            kind=SpanKind.SERVER,
            status=Status(StatusCode.ERROR) if span.error else Status(),
            start_time=span.began_ns,
            end_time=span.ended_ns,
            instrumentation_scope=self._scope,
        )


class _OnceInAWhile(logging.Filter):
    """Lets an error of the exporter through once in a while: it tells of each batch, and warns of each retry."""

    def __init__(self) -> None:
        super().__init__()
        self._told_s = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        now_s = time.monotonic()
        if record.levelno < logging.ERROR or now_s - self._told_s < _LOG_INTERVAL_S:
            return False
        self._told_s = now_s
        return True


def open_export(tracer: Tracer, boot: dict[str, Any]) -> SpanExport:
    """From the document that a worker is started with."""
    return SpanExport(tracer, boot["tracing"]["endpoint"], boot["tracing"]["node"], boot["writer"])
