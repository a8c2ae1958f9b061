"""What other machines watch: alive, ready, metrics. Without a token (DESIGN 1.6)."""

from __future__ import annotations

from aiohttp import web

from gateway.admin.answer import NODE, answer
from gateway.admin.problem import problem


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
    body, content_type = await request.app[NODE].exposition(request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type, "Vary": "Accept"})


def add_health(app: web.Application) -> None:
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
