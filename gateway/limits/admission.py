"""Admission: instance, service, route and key together, or none of them (DESIGN 1.5, 2.3; RULES L3, X33)."""

from __future__ import annotations

from typing import Final

from gateway.limits.limit import FRESH_NS, Bound, Limit

_NO_LIMIT: Final = 1 << 62


class LimitSet:
    """The limits of one route, outermost first. A refused request consumes nothing at any level."""

    __slots__ = ("_policy", "limits")

    def __init__(self, limits: tuple[Limit, ...]) -> None:
        self.limits = limits
        policies = b", ".join(b'"%b";q=%d;w=1' % (limit.level.encode(), limit.qps) for limit in limits)
        self._policy = b"RateLimit-Policy: " + policies + b"\r\nRateLimit: "

    def admit(self, now_ns: int) -> Bound | None:
        """None: admitted, one token taken at each level. Else the limit that refuses. ``now_ns``: monotonic."""
        limits = self.limits
        for limit in limits:
            if limit.left == 0:
                return _take(limits, now_ns)
        for limit in limits:
            limit.left -= 1
        return None

    def fields(self, now_ns: int) -> bytes:
        """`RateLimit-Policy` of every level and `RateLimit` of the one with the least left, as whole lines."""
        limits = self.limits
        if not limits:
            return b""
        least = limits[0]
        remaining = _NO_LIMIT
        for limit in limits:
            if now_ns - limit.seen_ns > FRESH_NS:
                limit.look(now_ns)
            left = limit.left + limit.room
            if left < remaining:
                least = limit
                remaining = left
        return self._policy + least.text(remaining) + b"\r\n"

    def refusal_fields(self, refused: Bound, now_ns: int) -> bytes:
        """The same where one of them has refused, with `Retry-After`: both by the one wait, and of the one bound."""
        wait_s = refused.wait_s(now_ns)
        level = refused.level.encode()
        return b'Retry-After: %d\r\n%b"%b";r=0;t=%d\r\n' % (wait_s, self._policies(), level, wait_s)

    def _policies(self) -> bytes:
        """Up to the value of `RateLimit`."""
        return self._policy


def _take(limits: tuple[Limit, ...], now_ns: int) -> Limit | None:
    """Tokens for the levels that have none left here. Decides under the lock; first looks without it.

    A look without the lock may only refuse, by a state that was true a moment ago: so a flood costs no lock.
    """
    for limit in limits:
        if limit.left == 0 and limit.is_used_up(now_ns):
            limit.look(now_ns)
            return limit
    table = limits[0].table
    table.lock()
    try:
        for limit in limits:
            if limit.left == 0 and limit.is_used_up(now_ns):
                limit.look(now_ns)
                return limit
        for limit in limits:
            if limit.left == 0:
                limit.take(now_ns)
    finally:
        table.unlock()
    for limit in limits:
        limit.left -= 1
    return None
