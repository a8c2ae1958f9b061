"""The console: static files, and the session that its sign-in opens."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aiohttp import web

from gateway.admin.access import Guard, require_own_page
from gateway.admin.body import json_object
from gateway.admin.client import client_of
from gateway.admin.session import COOKIE, GUARD_FIELD, Sessions, clear_cookie, set_cookie
from gateway.admin.watch import Watch
from gateway.control.errors import Refusal

_FOLDER = Path(__file__).with_name("console")
# Nothing from elsewhere, nothing inline, in no frame.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES: Final = {
    "index.html": "text/html",
    "console.css": "text/css",
    "console.js": "text/javascript",
    "chart.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


def add_console(app: web.Application, guard: Guard, sessions: Sessions, watch: Watch) -> None:
    contents = {name: (_FOLDER / name).read_bytes() for name in _TYPES if (_FOLDER / name).exists()}

    def file(name: str) -> web.Response:
        if name not in contents:
            raise web.HTTPNotFound(text=f"no file {name}")
        fields = {
            "Content-Security-Policy": _POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
        }
        return web.Response(body=contents[name], content_type=_TYPES[name], charset="utf-8", headers=fields)

    async def page(request: web.Request) -> web.Response:
        return file("index.html")

    async def static(request: web.Request) -> web.Response:
        return file(request.match_info["name"])

    async def icon(request: web.Request) -> web.Response:
        return file("icon.svg")

    async def sign_in(request: web.Request) -> web.Response:
        _from_console(request)
        require_own_page(request, watch)
        offered = (await json_object(request)).get("token")
        guard.require(offered.strip() if isinstance(offered, str) else "", client_of(request.remote))
        response = web.Response(status=204)
        set_cookie(response, request, sessions.open())
        return response

    async def sign_out(request: web.Request) -> web.Response:
        _from_console(request)
        require_own_page(request, watch)
        sessions.close(request.cookies.get(COOKIE, ""))
        response = web.Response(status=204)
        clear_cookie(response)
        return response

    app.add_routes(
        [
            web.get("/", page),
            web.get("/favicon.ico", icon),
            web.get("/console/static/{name}", static),
            web.post("/console/session", sign_in),
            web.delete("/console/session", sign_out),
        ]
    )


def _from_console(request: web.Request) -> None:
    if GUARD_FIELD not in request.headers:
        raise Refusal("forbidden", f"the field {GUARD_FIELD} is missing")
