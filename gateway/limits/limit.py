"""One worker's handle of one limit.

The contract (DESIGN 1.5): over any window of w seconds at most L*w + b + 1 requests are admitted, with
b = max(1, L * burst_ms / 1000), whatever the number of workers. The instant of a request is the one it is admitted by.

Why it holds
- *Taken*. A slot's TAT moves T >= 1/L ahead for each token taken, from max(TAT, now), and a token is given only while
  TAT <= now + tau, both under the lock. After the first token taken in a window that begins at t, TAT is t + T at the
  least; so before the n-th it is t + (n - 1)T at the least, and that is at the most t + w + tau. Hence
  n <= w/T + tau/T + 1 <= L*w + tau/T + 1.
- *Spent*. A worker spends what it took, at once or later. What is spent in a window is taken in it, or was held at its
  start: at the most k - 1 in each worker, k being the lease, since a lease is taken to spend its first token. With
  tau/T = b - H*(k - 1), for H holders at the most, spent tokens stay within L*w + b + 1 however late they are spent:
  a lease needs no expiry. H is twice the pool's workers: at a restart the old ones drain while the new ones serve.
- *Reached*. T is 1/L but for a nanosecond's rounding, and a lease takes what is there and no more. Idle workers hold
  H*(k - 1) tokens for good, once; the rate is not touched. At low rates b is small, so k is 1 and every request asks
  the shared state.
- *All levels or none*. Under the lock every level is looked at before one is changed, so a refusal changes nothing.
- *Death*. The state is one word, stored before its tokens are spent. A worker that dies loses what it held, at some
  levels or at all: fewer are admitted, never more. The kernel releases its lock, at whatever instruction it died.
- *Change*. The setting stands in the slot (`setting.py`), so T, tau and k change for all workers at once, under the
  lock (`LimitTable.set`). Before and after it, each setting's contract holds as it is; a window across it gets both
  shares at the most. A TAT further ahead than the new setting itself could bring it is brought back to there: raising
  1 to 50,000 need not wait for seconds that the old setting had lent. Leases taken under the old one, at the most an
  eighth of its burst in all, may be spent on top of the new one, once, by workers that have not swapped yet.
- *Removal*. A slot is given to another limit one snapshot after the last that has it. A worker still on an older one
  then takes from the other limit, by that one's setting: it gets less, never more.
- *Clock*. CLOCK_MONOTONIC is one for all processes of a machine and never steps; a table of an earlier boot is left.
  A worker that was kept from running between reading the clock and the lock is admitted by the earlier instant.
"""

from __future__ import annotations

from typing import Final

from gateway.limits.setting import Setting
from gateway.limits.table import SETTING, TAKEN, WORDS_PER_SLOT, LimitTable

FRESH_NS: Final = 1_000_000  # How old what `RateLimit` says may be: to look anew for each answer costs half a us.


class Bound:
    """What a request may be refused by. ``level``: instance, service, route, key or quota."""

    __slots__ = ("level", "name")

    def __init__(self, level: str, name: str) -> None:
        self.level = level
        self.name = name

    def wait_ns(self, now_ns: int) -> int:
        """Until a request would be admitted, as things stand; 0 when it would be now."""
        raise NotImplementedError

    def wait_s(self, now_ns: int) -> int:
        """The same in whole seconds, rounded up: who tried sooner would be refused again (RFC 9110 10.2.3)."""
        return max(1, -(-self.wait_ns(now_ns) // 1_000_000_000))


class Limit(Bound):
    """``left`` tokens are held by this worker; ``room`` were there for all when it last looked, at ``seen_ns``."""

    __slots__ = (
        "_texts",
        "_word",
        "at",
        "interval_ns",
        "lease",
        "left",
        "qps",
        "room",
        "seen_ns",
        "table",
        "tolerance_ns",
    )

    def __init__(
        self, table: LimitTable, slot: int, qps: int, level: str, name: str, *, burst_ms: int, workers: int
    ) -> None:
        super().__init__(level, name)
        self.table = table
        self.at = slot * WORDS_PER_SLOT
        self.left = 0
        self.room = 0
        self.seen_ns = -FRESH_NS
        self._texts: dict[int, bytes] = {}
        self._go_by(Setting(qps, burst_ms, workers))

    def _go_by(self, setting: Setting) -> None:
        self._word = setting.word
        self.qps = setting.qps
        self.interval_ns = setting.interval_ns
        self.tolerance_ns = setting.tolerance_ns
        self.lease = setting.lease

    def is_used_up(self, now_ns: int) -> bool:
        """No token is there to take. Only under the lock it stays so; without it, it was so a moment ago."""
        words = self.table.words
        word = words[self.at + SETTING]
        if word != self._word and word:
            self._go_by(Setting.of_word(word))
        return words[self.at] - self.tolerance_ns > now_ns

    def take(self, now_ns: int) -> None:
        """A lease: what is there, up to its size. The caller holds the lock and has found it not used up."""
        words = self.table.words
        tat = max(words[self.at], now_ns)
        taken = min(self.lease, (now_ns + self.tolerance_ns - tat) // self.interval_ns + 1)
        # The state before the tokens: a death in between gives some away to nobody.
        words[self.at] = tat + taken * self.interval_ns
        words[self.at + TAKEN] += taken
        if not words[self.at + SETTING]:
            words[self.at + SETTING] = self._word  # A table that no control process sets: of tools and tests.
        self.left = taken
        self.look(now_ns)

    def look(self, now_ns: int) -> None:
        """How many requests could come at once."""
        ahead_ns = max(0, self.table.words[self.at] - now_ns)
        self.room = max(0, (self.tolerance_ns - ahead_ns) // self.interval_ns + 1)
        self.seen_ns = now_ns

    def wait_ns(self, now_ns: int) -> int:
        return max(0, self.table.words[self.at] - self.tolerance_ns - now_ns)

    def text(self, remaining: int) -> bytes:
        """The `RateLimit` field's value. ``t``: a second, the policy's window, brings ``q`` requests again."""
        text = self._texts.get(remaining)
        if text is None:  # Kept: there are as many as the burst.
            text = self._texts[remaining] = b'"%b";r=%d;t=1' % (self.level.encode(), remaining)
        return text
