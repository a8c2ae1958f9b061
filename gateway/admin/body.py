"""What a request brings: JSON content, ids and months in its path, its key. Bounded, and texts that can be kept."""

from __future__ import annotations

from typing import Any, Final

import orjson
from aiohttp import web

from config.errors import Fault
from config.instants import parse_month
from config.texts import is_storable
from gateway.admin.keys import KEY_CHARS_MAX, is_key
from gateway.control.errors import Refusal

# The largest service document the schema allows stays well below.
BODY_BYTES_MAX: Final = 1024 * 1024
DEPTH_MAX: Final = 32  # of lists and objects in each other; a service has six


async def json_content(request: web.Request) -> Any:
    """The content as JSON, whatever its type. Raises Refusal `invalid`, or 400 and 413 as HTTP errors."""
    content = await request.read()
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise web.HTTPBadRequest(text=f"the content is not JSON: {error}") from None
    fault = _unkeepable(document)
    if fault is not None:
        raise Refusal("invalid", "the content is not valid", [fault])
    return document


async def json_object(request: web.Request) -> dict[str, Any]:
    """The same, where it has to be one object."""
    document = await json_content(request)
    if not isinstance(document, dict):
        raise Refusal("invalid", "the content is not a JSON object", [Fault("", "has to be an object")])
    return document


def idempotency_key(request: web.Request) -> str | None:
    """The Idempotency-Key field, or None. Raises Refusal."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not is_key(key):
        message = f"has to be 1 to {KEY_CHARS_MAX} characters, UTF-8, without control characters"
        raise Refusal("invalid", "the Idempotency-Key is not valid", [Fault("Idempotency-Key", message)])
    return key


def id_in_path(request: web.Request) -> str:
    """The id that the path names. One that no store can keep names nothing: raises 404."""
    id = request.match_info["id"]
    if not is_storable(id):
        raise web.HTTPNotFound(text="an id is UTF-8 text, without NUL")
    return id


def month_in_path(request: web.Request) -> str:
    """The month that the path names. Raises 404."""
    month = request.match_info["month"]
    try:
        return parse_month(month)
    except ValueError as error:
        raise web.HTTPNotFound(text=f"{month}: {error}") from None


def _unkeepable(document: Any) -> Fault | None:
    """A place with a text that no store can keep, or nested too deep. Without recursion: others chose its depth."""
    waiting: list[tuple[str, Any, int]] = [("", document, 0)]
    while waiting:
        path, value, depth = waiting.pop()
        if isinstance(value, str):
            if not is_storable(value):
                return Fault(path, "has a NUL character")
        elif isinstance(value, (dict, list)):
            if depth == DEPTH_MAX:
                return Fault(path, f"is nested more than {DEPTH_MAX} deep")
            if isinstance(value, list):
                waiting += [(f"{path}[{index}]", item, depth + 1) for index, item in enumerate(value)]
                continue
            for name, item in value.items():
                if not is_storable(name):
                    return Fault(path, "has a name with a NUL character")
                waiting.append((f"{path}.{name}" if path else name, item, depth + 1))
    return None
