"""POST /v1/events: usage metered elsewhere, as CloudEvents 1.0 over HTTP: structured, batched and binary."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from config.errors import Fault
from gateway.admin.answer import NODE, answer
from gateway.admin.body import json_content
from gateway.admin.event_fields import attributes_of
from gateway.control.errors import Refusal

SINGLE: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
_BINARY: Final = "application/json"


async def post_events(request: web.Request) -> web.Response:
    """Counted once each, all or none; what was counted before is named as a duplicate."""
    documents, is_batch = await _documents(request)
    # A question by its effect: nothing that the workers serve changes.
    done = await request.app[NODE].ask(lambda office: office.count_events(documents, is_batch=is_batch))
    return answer(done)


async def _documents(request: web.Request) -> tuple[list[Any], bool]:
    """The events as in the JSON format, whichever mode they came in (CloudEvents HTTP binding 3)."""
    content_type = request.content_type
    if content_type not in (SINGLE, BATCH, _BINARY):
        raise web.HTTPUnsupportedMediaType(text=f"events are {SINGLE}, {BATCH}, or binary mode with {_BINARY}")
    document = await json_content(request)
    if content_type == SINGLE:
        return [document], False
    if content_type == BATCH:
        if not isinstance(document, list):
            raise Refusal("invalid", "the content is not a batch", [Fault("", "has to be a list")])
        return document, True
    # Content-Type is the event's `datacontenttype` in this mode, whatever else says so.
    return [{**attributes_of(request.headers.items()), "datacontenttype": _BINARY, "data": document}], False


def add_events(app: web.Application) -> None:
    app.add_routes([web.post("/v1/events", post_events)])
