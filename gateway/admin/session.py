"""Console sessions: a random cookie in place of the token, kept in memory and lost with the control process.

Against forged requests from other sites: the cookie is SameSite=Strict, and a request that changes something has to
carry a field that no other site can send without being asked first (a CORS preflight, which is never granted).
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from typing import Final

from aiohttp import web

COOKIE: Final = "tollgate_session"
GUARD_FIELD: Final = "X-Tollgate-Console"
LIFE_S: Final = 12 * 3600
# More people than ever look at one node; the oldest session gives way.
_SESSIONS_MAX = 256


class Sessions:
    """Open sessions, by the digest of their cookie."""

    def __init__(self) -> None:
        self._ends_at: OrderedDict[bytes, float] = OrderedDict()  # monotonic

    def open(self) -> str:
        """A new session's cookie value."""
        value = secrets.token_urlsafe(32)
        while len(self._ends_at) >= _SESSIONS_MAX:
            self._ends_at.popitem(last=False)
        self._ends_at[_digest(value)] = time.monotonic() + LIFE_S
        return value

    def close(self, value: str) -> None:
        self._ends_at.pop(_digest(value), None)

    def holds(self, value: str) -> bool:
        ends_at = self._ends_at.get(_digest(value))
        return ends_at is not None and time.monotonic() < ends_at


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()


def set_cookie(response: web.Response, request: web.Request, value: str) -> None:
    response.set_cookie(
        COOKIE, value, max_age=LIFE_S, path="/", httponly=True, samesite="Strict", secure=request.secure
    )


def clear_cookie(response: web.Response) -> None:
    response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
