"""W3C Trace Context: what a request says of its trace, and what its upstream is told."""

from __future__ import annotations

import re

import pytest

from gateway.http.request import RequestHead
from gateway.proxy.trace_context import state_in
from gateway.proxy.tracer import Tracer

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
NEVER, ALWAYS = Tracer(0.0, 1), Tracer(1.0, 1)


def head(*fields: str) -> RequestHead:
    parsed = RequestHead()
    text = "\r\n".join(["GET / HTTP/1.1", "Host: x", *fields, "Accept: */*", "", ""])
    assert parsed.parse(text.encode("latin-1"), 1 << 15, 1 << 13, 128) == len(text)
    return parsed


def sent(parsed: RequestHead) -> tuple[list[str], list[str]]:
    """Each traceparent and each tracestate that goes upstream; nothing else may be changed."""
    lines = parsed.fields.decode("latin-1").split("\r\n")
    assert lines.pop() == ""
    found = {name: [line for line in lines if line.lower().startswith(name)] for name in ("traceparent", "tracestate")}
    assert [line for line in lines if not line.lower().startswith("trace")] == ["Host: x", "Accept: */*"]
    parents = [line.partition(":")[2].strip() for line in found["traceparent"]]
    return parents, [line.partition(":")[2].strip() for line in found["tracestate"]]


@pytest.mark.parametrize("tracer, flags", [(NEVER, "02"), (ALWAYS, "03")])
def test_a_trace_begins_where_none_is_named(tracer: Tracer, flags: str) -> None:
    request = head()
    context = tracer.join(request, is_trusted=True)
    assert sent(request) == ([f"00-{context.trace_id.decode()}-{context.span_id.decode()}-{flags}"], [])
    assert re.fullmatch(rb"[0-9a-f]{32}", context.trace_id)
    assert re.fullmatch(rb"[0-9a-f]{16}", context.span_id)
    assert context.parent_id == b""
    other = tracer.join(head(), is_trusted=True)
    assert (other.trace_id, other.span_id) != (context.trace_id, context.span_id)


@pytest.mark.parametrize(
    "value, is_trusted, tracer, flags",
    [
        pytest.param(PARENT, True, NEVER, "01", id="trusted: sampled as it says"),
        pytest.param(f"00-{TRACE}-{SPAN}-00", False, ALWAYS, "01", id="not trusted: sampled by the share"),
        pytest.param(f"00-{TRACE}-{SPAN}-03", True, NEVER, "03", id="the random flag is kept"),
        pytest.param(f"00-{TRACE}-{SPAN}-ff", True, NEVER, "03", id="flags that are not known are cleared"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01", True, NEVER, "01", id="a later version"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01-what-is-more", True, NEVER, "01", id="a later version that says more"),
    ],
)
def test_a_sampled_exchange_is_its_upstreams_parent(value: str, is_trusted: bool, tracer: Tracer, flags: str) -> None:
    request = head(f"TraceParent:  {value} ", "tracestate: a=1", "TraceState: b=2")
    context = tracer.join(request, is_trusted=is_trusted)
    assert context.is_recorded
    assert (context.trace_id.decode(), context.parent_id.decode()) == (TRACE, SPAN)
    assert sent(request) == ([f"00-{TRACE}-{context.span_id.decode()}-{flags}"], ["a=1", "b=2"])
    assert state_in(request) == "a=1,b=2"


def test_who_is_not_trusted_keeps_its_trace_and_has_nothing_recorded() -> None:
    request = head(f"traceparent: {PARENT}", "tracestate: a=1")
    context = NEVER.join(request, is_trusted=False)
    assert not context.is_recorded
    assert sent(request) == ([f"00-{TRACE}-{context.span_id.decode()}-00"], ["a=1"])
    assert context.span_id.decode() != SPAN, "flag and parent change together (3.4)"


@pytest.mark.parametrize("is_trusted, tracer", [(True, ALWAYS), (False, NEVER)])
def test_what_is_sampled_on_neither_side_passes_untouched(is_trusted: bool, tracer: Tracer) -> None:
    request = head(f"Traceparent: 00-{TRACE}-{SPAN}-02", "tracestate: a=1")
    before = request.fields
    assert not tracer.join(request, is_trusted=is_trusted).is_recorded
    assert request.fields == before


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param((f"traceparent: {PARENT}", f"traceparent: {PARENT}"), id="twice"),
        pytest.param((f"traceparent: {PARENT.upper()}",), id="upper case"),
        pytest.param((f"traceparent: 00-{'0' * 32}-{SPAN}-01",), id="trace id of zeros"),
        pytest.param((f"traceparent: 00-{TRACE}-{'0' * 16}-01",), id="parent id of zeros"),
        pytest.param((f"traceparent: ff-{TRACE}-{SPAN}-01",), id="version ff"),
        pytest.param((f"traceparent: {PARENT}-more",), id="version 00 says no more"),
        pytest.param((f"traceparent: cc-{TRACE}-{SPAN}-01.more",), id="more without a dash"),
        pytest.param((f"traceparent: 00-{TRACE[1:]}-{SPAN}-01",), id="short"),
        pytest.param((f"traceparent: 00-{TRACE}-{SPAN}-0g",), id="no hex"),
        pytest.param(("traceparent:",), id="empty"),
        pytest.param((), id="a state without a parent"),
    ],
)
def test_what_is_not_understood_is_replaced_with_its_state(fields: tuple[str, ...]) -> None:
    request = head(*fields, "tracestate: a=1")
    context = ALWAYS.join(request, is_trusted=True)
    assert sent(request) == ([f"00-{context.trace_id.decode()}-{context.span_id.decode()}-03"], [])
    assert context.trace_id.decode() != TRACE
