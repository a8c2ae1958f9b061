"""The calls of a key in the day, or in the month, that is now: one of the two words that a quota has."""

from __future__ import annotations

from typing import Final

from gateway.limits.period import Period, period_at
from gateway.limits.quota_table import CALLS_MAX, QuotaTable
from metering.clock import VirtualClock

_PERIOD_AT: Final = 40  # bit of a word that its period begins at
_MONTH: Final = 1 << 22  # told from a day's number by this
_STEPS_BACK_MAX: Final = 1  # periods that the clock may have stepped back by and the count still stands


class Tally:
    """``per`` is day or month. Written under the table's lock."""

    __slots__ = ("_clock", "_kind", "_per", "_period", "_slot", "_timezone", "_words", "_words_before")

    def __init__(self, table: QuotaTable, slot: int, per: str, timezone: str, clock: VirtualClock) -> None:
        self._words = table.months if per == "month" else table.words
        self._words_before = table.words  # where an older version had it
        self._slot = slot
        self._per = per
        self._kind = _MONTH if per == "month" else 0
        self._timezone = timezone
        self._clock = clock
        self._period = period_at(clock.now(), per, timezone)

    def used(self) -> int:
        """Calls in the period that is now."""
        word = self._word()
        return word & CALLS_MAX if word >> _PERIOD_AT == self._mark(word) else 0

    def count(self) -> None:
        """One call. The caller holds the lock."""
        word = self._word()
        mark = self._mark(word)
        used = word & CALLS_MAX if word >> _PERIOD_AT == mark else 0
        self._words[self._slot] = mark << _PERIOD_AT | used + 1

    def period(self) -> Period:
        now_s = self._clock.now()
        if not self._period.begin_s <= now_s < self._period.end_s:
            self._period = period_at(now_s, self._per, self._timezone)
        return self._period

    def counted_in(self) -> Period:
        """The period that a call of now counts in: the next one, where the clock has stepped back out of it."""
        period = self.period()
        if self._mark(self._word()) != period.number | self._kind:
            return period_at(period.end_s, self._per, self._timezone)
        return period

    def _word(self) -> int:
        word: int = self._words[self._slot]
        if word == 0 and self._kind:
            before: int = self._words_before[self._slot]
            return before if before >> _PERIOD_AT & _MONTH else 0
        return word

    def _mark(self, word: int) -> int:
        """The period as a word has it. A clock that stepped back a little stays in the period it had reached."""
        number = self.period().number | self._kind
        reached = word >> _PERIOD_AT
        return reached if number < reached <= number + _STEPS_BACK_MAX else number
