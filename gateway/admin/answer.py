"""JSON answers, and where the application keeps its node."""

from __future__ import annotations

import json
from typing import Any, Final

import orjson
from aiohttp import web

from gateway.admin.node import Node

NODE: Final = web.AppKey("node", Node)


def answer(document: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=_json(document), content_type="application/json")


def _json(document: Any) -> bytes:
    try:
        return orjson.dumps(document)
    except TypeError:
        # orjson's integers have 64 bits. Sums of what an older version let in may have more, in one row of a list.
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
