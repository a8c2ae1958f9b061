"""Who may ask: a bearer of the token, or a console session."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.admin.session import COOKIE, GUARD_FIELD, Sessions
from gateway.admin.token import Token
from gateway.control.errors import Refusal

# Paths without a secret: probes, metrics, the console's page itself and its sign-in.
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics", "/", "/favicon.ico", "/console/session"})
OPEN_PREFIX: Final = "/console/static/"
_SAFE_METHODS = frozenset({"GET", "HEAD"})


def access(token: Token, sessions: Sessions) -> Middleware:
    """The middleware that asks for a token on every path but the open ones."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in OPEN_PATHS and not request.path.startswith(OPEN_PREFIX):
            _check(request, token, sessions)
        return await handler(request)

    return check


def _check(request: web.Request, token: Token, sessions: Sessions) -> None:
    scheme, _, offered = request.headers.get("Authorization", "").partition(" ")
    if scheme:
        if scheme.lower() == "bearer" and token.matches(offered.strip()):
            return
        raise Refusal("unauthorized", "the token is wrong")
    cookie = request.cookies.get(COOKIE)
    if cookie is None or not sessions.holds(cookie):
        raise Refusal("unauthorized", "a token is needed: Authorization: Bearer …")
    if request.method not in _SAFE_METHODS and GUARD_FIELD not in request.headers:
        raise Refusal("forbidden", f"a change from the console needs the field {GUARD_FIELD}")
