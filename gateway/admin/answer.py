"""JSON answers, and where the application keeps its node."""

from __future__ import annotations

from typing import Any, Final

import orjson
from aiohttp import web

from gateway.admin.node import Node

NODE: Final = web.AppKey("node", Node)


def answer(document: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")
