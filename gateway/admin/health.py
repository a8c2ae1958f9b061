"""What other machines watch: alive, ready, metrics. Without a token (DESIGN 1.6)."""

from __future__ import annotations

import asyncio
import gzip
from typing import Final

from aiohttp import web

from gateway.admin.accept import wants_gzip, wants_openmetrics
from gateway.admin.answer import NODE, answer
from gateway.admin.problem import problem

_GZIP_LEVEL: Final = 4


async def healthz(request: web.Request) -> web.Response:
    """The control process turns its loop."""
    return answer({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """Traffic may be sent here."""
    if request.app[NODE].is_ready():
        return answer({"status": "ready"})
    why = "workers are starting, the node is draining, or another node has the store"
    return problem(503, "not_ready", why, {"Retry-After": "1"})


async def metrics(request: web.Request) -> web.Response:
    # Of repeated lines the field is the list of all (RFC 9110 5.3).
    accept, encodings = (",".join(request.headers.getall(name, [])) for name in ("Accept", "Accept-Encoding"))
    body, content_type = await request.app[NODE].exposition(is_openmetrics=wants_openmetrics(accept))
    fields = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
    if wants_gzip(encodings):
        # 10 MB of 2,000 services are 0.5 MB then; on a thread, as it takes some 50 ms.
        body = await asyncio.to_thread(gzip.compress, body, _GZIP_LEVEL, mtime=0)
        fields["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers=fields)


def add_health(app: web.Application) -> None:
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
