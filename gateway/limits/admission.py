"""Admission: instance, service and route together, or none of them (DESIGN 1.5, 2.3; RULES L3, X33)."""

from __future__ import annotations

from gateway.limits.limit import Limit


class LimitSet:
    """The limits of one route, outermost first. A refused request consumes nothing at any level."""

    __slots__ = ("_policy", "limits")

    def __init__(self, limits: tuple[Limit, ...]) -> None:
        self.limits = limits
        policies = b", ".join(b'"%b";q=%d;w=1' % (limit.level.encode(), limit.qps) for limit in limits)
        self._policy = b"RateLimit-Policy: " + policies + b"\r\nRateLimit: "

    def admit(self, now_ns: int) -> Limit | None:
        """None: admitted, one token taken at each level. Else the limit that refuses. ``now_ns``: monotonic."""
        limits = self.limits
        for limit in limits:
            if limit.left == 0:
                return _take(limits, now_ns)
        for limit in limits:
            limit.left -= 1
        return None

    def fields(self) -> bytes:
        """`RateLimit-Policy` of every level and `RateLimit` of the one with the least left, as whole lines."""
        limits = self.limits
        if not limits:
            return b""
        least = limits[0]
        remaining = least.left + least.room
        for limit in limits:
            left = limit.left + limit.room
            if left < remaining:
                least = limit
                remaining = left
        return self._policy + least.text(remaining) + b"\r\n"


def _take(limits: tuple[Limit, ...], now_ns: int) -> Limit | None:
    """Tokens for the levels that have none left here. Decides under the lock; first looks without it.

    A TAT only grows, so one that refuses now refuses whatever others do meanwhile.
    """
    for limit in limits:
        if limit.left == 0 and limit.table.words[limit.at] - limit.tolerance_ns > now_ns:
            limit.room = 0
            return limit
    table = limits[0].table
    words = table.words
    table.lock()
    try:
        for limit in limits:
            if limit.left == 0 and words[limit.at] - limit.tolerance_ns > now_ns:
                limit.room = 0
                return limit
        for limit in limits:
            if limit.left == 0:
                tat = max(words[limit.at], now_ns)
                room = (now_ns + limit.tolerance_ns - tat) // limit.interval_ns + 1
                taken = min(limit.lease, room)
                # The state before the tokens: a death in between gives some away to nobody.
                words[limit.at] = tat + taken * limit.interval_ns
                limit.left = taken
                limit.room = room - taken
    finally:
        table.unlock()
    for limit in limits:
        limit.left -= 1
    return None
