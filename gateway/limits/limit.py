"""One worker's handle of one limit.

The contract (DESIGN 1.5): over any window of w seconds at most L*w + b + 1 requests are admitted, with
b = max(1, L * burst_ms / 1000), whatever the number of workers.

Why it holds. A slot's TAT moves T = 1/L ahead for each token taken, from max(TAT, now), and a token is only given
while TAT <= now + tau. So over a window the tokens *taken* are at most L*w + tau/T + 1. A token is *spent* in the
worker that took it, at once or later; those taken before a window and spent in it are what the workers held at its
start: at most k - 1 in each, k being the lease. With tau/T = b - H*(k - 1), for H holders at the most, spent tokens
stay within L*w + b + 1 however late they are spent, so a lease needs no expiry. H is twice the pool's workers,
since at a restart the old ones drain while the new ones serve. A worker that dies loses what it held: fewer are
admitted, never more. At low rates b is small, so k is 1 and every request asks the shared state: exact at 1 a second.
"""

from __future__ import annotations

from typing import Final

from gateway.limits.table import WORDS_PER_SLOT, LimitTable

LEASE_MAX: Final = 64  # Past it the lock's share of a request is too small to measure.


class Limit:
    """``left`` tokens are held by this worker; ``room`` were free for all when it last looked."""

    __slots__ = (
        "_texts",
        "at",
        "interval_ns",
        "lease",
        "left",
        "level",
        "name",
        "qps",
        "room",
        "table",
        "tolerance_ns",
    )

    def __init__(
        self, table: LimitTable, slot: int, qps: int, level: str, name: str, *, burst_ms: int, workers: int
    ) -> None:
        self.table = table
        self.at = slot * WORDS_PER_SLOT
        self.qps = qps
        self.level = level  # instance, service or route
        self.name = name
        burst = max(1, qps * burst_ms // 1000)
        holders = 2 * workers
        self.lease = max(1, min(LEASE_MAX, 1 + burst // (8 * holders)))  # leases cost at most 1/8 of the burst
        self.interval_ns = -(-1_000_000_000 // qps)  # rounded up: never faster than the limit
        self.tolerance_ns = (burst - holders * (self.lease - 1)) * self.interval_ns
        self.left = 0
        self.room = burst + 1
        self._texts: dict[int, bytes] = {}

    @property
    def remaining(self) -> int:
        """Requests that could come at once, as far as this worker knows."""
        return self.left + self.room

    def retry_after_s(self, now_ns: int) -> int:
        """Whole seconds until a request would be admitted, at the least 1."""
        wait_ns = self.table.words[self.at] - self.tolerance_ns - now_ns
        return max(1, -(-wait_ns // 1_000_000_000))

    def text(self, remaining: int) -> bytes:
        """The `RateLimit` field's value; kept for each number, of which there are as many as the burst."""
        text = self._texts.get(remaining)
        if text is None:
            text = self._texts[remaining] = b'"%b";r=%d;t=1' % (self.level.encode(), remaining)
        return text
