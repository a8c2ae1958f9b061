"""Request content: one JSON object, bounded."""

from __future__ import annotations

from typing import Any, Final

import orjson
from aiohttp import web

from config.errors import Fault
from gateway.control.errors import Refusal

# The largest service document the schema allows stays well below.
BODY_BYTES_MAX: Final = 1024 * 1024
_KEY_CHARS_MAX = 200


async def json_object(request: web.Request) -> dict[str, Any]:
    """The content as a JSON object, whatever its type. Raises Refusal `invalid`, or 400 and 413 as HTTP errors."""
    content = await request.read()
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise web.HTTPBadRequest(text=f"the content is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise Refusal("invalid", "the content is not a JSON object", [Fault("", "has to be an object")])
    return document


def idempotency_key(request: web.Request) -> str | None:
    """The Idempotency-Key field, or None. Raises Refusal."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 0 < len(key) <= _KEY_CHARS_MAX:
        raise Refusal(
            "invalid",
            "the Idempotency-Key is not valid",
            [Fault("Idempotency-Key", f"1 to {_KEY_CHARS_MAX} characters")],
        )
    return key
