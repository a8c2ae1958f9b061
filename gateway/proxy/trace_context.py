"""Trace context between processes, as fields of a request: W3C Trace Context, level 2."""

from __future__ import annotations

import re
from random import getrandbits
from typing import Final, NamedTuple

from gateway.http.fields import without_fields
from gateway.http.request import RequestHead

SAMPLED: Final = 0x01  # Trace Context 3.2.2.5
_RANDOM: Final = 0x02  # The trace id is random: those who sample by it may. Passed on as it came.
_PARENT: Final = b"traceparent"
_STATE: Final = b"tracestate"
_PARENT_NAME: Final = frozenset((_PARENT,))
_BOTH_NAMES: Final = frozenset((_PARENT, _STATE))
# 3.2.2: version, trace id, parent id, flags, in lower case; no id is all zeros, and no version is ff.
_TRACEPARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)


class Parent(NamedTuple):
    """Who asks, in its own trace: ids in hex as they came."""

    trace_id: bytes
    span_id: bytes
    flags: int


class TraceContext:
    """Where one exchange stands in its trace. ``span_id`` is the exchange's own; ids in hex."""

    __slots__ = ("flags", "is_recorded", "parent_id", "span_id", "trace_id")

    def __init__(self, trace_id: bytes, span_id: bytes, parent_id: bytes, flags: int, *, is_recorded: bool) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_id = parent_id  # empty: the trace begins here
        self.flags = flags
        self.is_recorded = is_recorded

    @property
    def line(self) -> bytes:
        """The field that the upstream is sent."""
        return b"traceparent: 00-%b-%b-%02x\r\n" % (self.trace_id, self.span_id, self.flags)


def root(*, is_sampled: bool) -> TraceContext:
    """A trace that begins here."""
    bits = b"%048x" % getrandbits(192)
    flags = _RANDOM | SAMPLED if is_sampled else _RANDOM
    return TraceContext(bits[:32], bits[32:], b"", flags, is_recorded=is_sampled)


def child(parent: Parent, *, is_sampled: bool) -> TraceContext:
    """An exchange of a trace that its client is in."""
    flags = parent.flags & _RANDOM | (SAMPLED if is_sampled else 0)
    return TraceContext(parent.trace_id, b"%016x" % getrandbits(64), parent.span_id, flags, is_recorded=is_sampled)


def parent_in(head: RequestHead) -> Parent | None:
    """Whom the request names as its parent; None where it names none, or in no way that is to be understood (3.2.2)."""
    value = head.single(_PARENT)
    match = None if value is None else _TRACEPARENT.fullmatch(value)
    if match is None or (match[1] == b"00" and match[5] is not None):
        return None
    return Parent(match[2], match[3], int(match[4], 16))


def state_in(head: RequestHead) -> str:
    """The request's `tracestate`, its lines joined in their order (3.3.1)."""
    return b",".join([field.value for field in head.lines if field.name == _STATE]).decode("latin-1")


def put(context: TraceContext, head: RequestHead) -> None:
    """The context into what goes upstream. The state stays where its trace goes on, and goes where another begins."""
    if context.parent_id:
        head.fields = without_fields(head.fields, _PARENT_NAME)
    elif head.has(_PARENT) or head.has(_STATE):
        head.fields = without_fields(head.fields, _BOTH_NAMES)
    head.fields += context.line
