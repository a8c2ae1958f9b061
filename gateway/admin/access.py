"""Who may ask: a bearer of the token, or a console session, at an address that is this node's."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Collection
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.admin.client import client_of
from gateway.admin.guesses import Guesses
from gateway.admin.session import COOKIE, GUARD_FIELD, Sessions
from gateway.admin.token import Token
from gateway.admin.watch import Watch
from gateway.control.errors import Refusal

# Paths without a secret: probes, metrics, the console's page itself and its sign-in.
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics", "/", "/favicon.ico", "/console/session"})
OPEN_PREFIX: Final = "/console/static/"
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{0,5})?")
# What a browser says of a request that the page itself made, or the person; a page of another port is `same-site`.
_OWN_SITES: Final = frozenset({"same-origin", "none"})


class Guard:
    """Looks at tokens. A right one is served even where its client, or all, made too many wrong tries: else whoever
    shares an address with the operator could lock them out. One that could be guessed has to wait all the same.
    """

    def __init__(self, token: Token, watch: Watch, guesses: Guesses | None = None) -> None:
        self._token = token
        self._watch = watch
        self._guesses = guesses or Guesses()

    def require(self, offered: str, client: str) -> None:
        """Raises Refusal, and 429 as an HTTP error."""
        wait_s = self._guesses.wait_s(client)
        if wait_s and self._token.is_weak:
            raise self._too_many(client, wait_s)
        if self._token.matches(offered):
            return
        self._guesses.failed(client)
        if wait_s:
            raise self._too_many(client, wait_s)
        self._watch.refused("token", client)
        raise Refusal("unauthorized", "the token is wrong")

    def _too_many(self, client: str, wait_s: float) -> web.HTTPException:
        self._watch.refused("tries", client)
        fields = {"Retry-After": str(math.ceil(wait_s))}
        return web.HTTPTooManyRequests(text="too many wrong tokens; the next try is looked at later", headers=fields)


def access(guard: Guard, sessions: Sessions, watch: Watch) -> Middleware:
    """The middleware that asks for a token on every path but the open ones."""

    def check(request: web.Request) -> None:
        client = client_of(request.remote)
        scheme, _, offered = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return guard.require(offered.strip(), client)
        if scheme:
            watch.refused("no_token", client)
            raise Refusal("unauthorized", "the token is wrong")
        cookie = request.cookies.get(COOKIE)
        if cookie is None or not sessions.holds(cookie):
            watch.refused("no_token" if cookie is None else "session", client)
            raise Refusal("unauthorized", "a token is needed: Authorization: Bearer …")
        require_own_page(request, watch)
        if request.method not in _SAFE_METHODS and GUARD_FIELD not in request.headers:
            raise Refusal("forbidden", f"a change from the console needs the field {GUARD_FIELD}")
        return None

    @web.middleware
    async def ask(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in OPEN_PATHS and not request.path.startswith(OPEN_PREFIX):
            check(request)
        return await handler(request)

    return ask


def require_own_page(request: web.Request, watch: Watch) -> None:
    """What is done with a cookie, or gets one, is asked by the console's own page: a browser says whose it is.

    SameSite is not enough: to it, another port of the same machine is the same site. Raises Refusal `forbidden`.
    """
    origin = request.headers.get("Origin")
    is_own = origin is None or origin.partition("://")[2] == request.headers.get("Host")
    if not is_own or request.headers.get("Sec-Fetch-Site", "none") not in _OWN_SITES:
        watch.refused("origin", client_of(request.remote))
        raise Refusal("forbidden", "the console answers its own page only")


def only_own_hosts(names: Collection[str], watch: Watch) -> Middleware:
    """The middleware that refuses a `Host` which is no address, and none of the node's names, on every path.

    A page whose name its owner points at this machine (DNS rebinding) would read all that needs no token.
    """
    known = frozenset(name.lower().rstrip(".") for name in names) | {"localhost"}

    def is_own(authority: str) -> bool:
        found = _AUTHORITY.fullmatch(authority)
        if found is None:
            return False
        host = found[1].strip("[]").lower().rstrip(".")
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return host in known
        return True

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1 and (hosts or request.version >= (1, 1)):
            raise web.HTTPBadRequest(text="there has to be one Host field")
        # `request.host` is of a target in absolute form where the request has one (RFC 9112, 3.2.2).
        if hosts and not (is_own(hosts[0]) and is_own(request.host)):
            watch.refused("host", client_of(request.remote))
            raise web.HTTPMisdirectedRequest(
                text="this Host is not the node's: ask for it by its address, or name it in admin.hosts"
            )
        return await handler(request)

    return check
