"""What a limit is set to, as one 64-bit word and as the numbers that admission uses.

A slot holds its limit's setting beside its state, written by the control process. So a change holds for every worker
at the same instant, those too that still route by an earlier snapshot, and one word is never half of a setting.
"""

from __future__ import annotations

from typing import Final

LEASE_MAX: Final = 64  # Past it the lock's share of a request is too small to measure.
_BURST_AT: Final = 20  # qps takes the bits below: at the most 50,000
_WORKERS_AT: Final = 32


class Setting:
    """``lease`` tokens are taken at once; ``tolerance_ns`` is how far a TAT may be ahead of now."""

    __slots__ = ("burst_ms", "interval_ns", "lease", "qps", "tolerance_ns", "word", "workers")

    def __init__(self, qps: int, burst_ms: int, workers: int) -> None:
        self.qps = qps
        self.burst_ms = burst_ms
        self.workers = workers
        self.word = qps | burst_ms << _BURST_AT | workers << _WORKERS_AT
        self.interval_ns = -(-1_000_000_000 // qps)  # rounded up: never faster than the limit
        holders = 2 * workers  # at a restart the old workers drain while the new ones serve
        # In whole tokens too, since the rounded interval would cost one of them.
        burst_ns = max(max(1, qps * burst_ms // 1000) * self.interval_ns, burst_ms * 1_000_000)
        # Leases cost at the most an eighth of the burst.
        self.lease = max(1, min(LEASE_MAX, 1 + burst_ns // (8 * holders * self.interval_ns)))
        self.tolerance_ns = burst_ns - holders * (self.lease - 1) * self.interval_ns

    @classmethod
    def of_word(cls, word: int) -> Setting:
        return cls(word & 0xFFFFF, word >> _BURST_AT & 0xFFF, word >> _WORKERS_AT)

    @property
    def burst(self) -> float:
        """Tokens that are there after a rest, beside the one that the interval brings."""
        return max(1.0, self.qps * self.burst_ms / 1000)
