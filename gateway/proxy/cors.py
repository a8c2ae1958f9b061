"""Cross-origin requests by the gateway's rule (CORS, in the Fetch standard): upstreams need not know of them."""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.http.fields import without_fields
from gateway.http.request import RequestHead

_ORIGIN: Final = b"origin"
_METHOD: Final = b"access-control-request-method"
_LABELS: Final = rb"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?"
# An upstream's own answer to the same question: two of them, and browsers take neither.
_OF_ANSWERS: Final = frozenset(
    b"access-control-allow-" + name for name in (b"origin", b"methods", b"headers", b"credentials")
) | {b"access-control-expose-headers", b"access-control-max-age"}
# What the gateway itself says in answers: when to come again, and which request to ask about. No page's secret.
_EXPOSED: Final = ("Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-Id")


class CorsRule:
    """`cors:` of a service: who may ask from another origin, and for what."""

    __slots__ = ("_any_origin", "_for_answers", "_for_preflights", "_origins", "_wildcards")

    def __init__(self, document: dict[str, Any]) -> None:
        origins = [origin.encode() for origin in document["origins"]]
        patterns = [origin for origin in origins if b"://*." in origin]
        self._origins = frozenset(origins) - frozenset(patterns)
        self._wildcards = _wildcards(patterns)
        self._any_origin = b"*" in self._origins
        credentials = b"Access-Control-Allow-Credentials: true\r\n" if document["credentials"] else b""
        exposed = list(document["expose"])
        named = {name.lower() for name in exposed}
        exposed += [name for name in _EXPOSED if name.lower() not in named]
        self._for_answers = credentials + _line(b"Access-Control-Expose-Headers", exposed)
        self._for_preflights = (
            credentials
            + _line(b"Access-Control-Allow-Methods", document["methods"])
            + _line(b"Access-Control-Allow-Headers", document["headers"])
            + b"Access-Control-Max-Age: %d\r\n" % document["max_age"]
        )

    def fields(self, head: RequestHead) -> bytes:
        """Whole lines for the answer to a request: who may read it, where its origin may."""
        allowed = self._allowed(head)
        return b"Vary: Origin\r\n" if allowed is None else allowed + self._for_answers

    def lets_connect(self, head: RequestHead) -> bool:
        """Whether a WebSocket may be opened: browsers let every page open any, and send their cookies along.

        They cannot leave out the origin (RFC 6455 4.1, 10.2), so who sends none is no page.
        """
        return self._allowed(head) is not None or not head.has(_ORIGIN)

    def preflight(self, head: RequestHead) -> bytes | None:
        """Whole lines that permit what a preflight asks for; None where its origin is not allowed."""
        allowed = self._allowed(head)
        return None if allowed is None else allowed + self._for_preflights

    def _allowed(self, head: RequestHead) -> bytes | None:
        if self._any_origin:
            return b"Access-Control-Allow-Origin: *\r\n"
        origin = head.single(_ORIGIN)
        # Compared as bytes: an origin is serialised in one way only (RFC 6454 6.2).
        if origin is None:
            return None
        if origin not in self._origins and (self._wildcards is None or not self._wildcards.fullmatch(origin)):
            return None
        return b"Access-Control-Allow-Origin: %b\r\nVary: Origin\r\n" % origin


def _wildcards(origins: list[bytes]) -> re.Pattern[bytes] | None:
    """Of `scheme://*.domain[:port]`, where the `*` is one label of a name or more, and nothing but labels."""
    if not origins:
        return None
    return re.compile(b"|".join(re.escape(origin).replace(rb"\*", _LABELS, 1) for origin in origins))


def preflight_method(head: RequestHead) -> bytes | None:
    """The method that a preflight asks for; None for any other request."""
    if head.method != b"OPTIONS" or not head.has(_ORIGIN):
        return None
    return head.single(_METHOD)


def without_cors(fields: bytes) -> bytes:
    """An answer's fields less those that the gateway's rule takes the place of."""
    return without_fields(fields, _OF_ANSWERS) if b"ccess-" in fields.lower() else fields


def _line(name: bytes, values: list[str]) -> bytes:
    return name + b": " + ", ".join(values).encode() + b"\r\n" if values else b""
