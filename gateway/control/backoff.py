"""When a dead worker is started again: at once, unless its slot keeps crashing."""

from __future__ import annotations

# A worker that lived this long was no crash at start; its successor starts at once.
_SOUND_LIFE_S = 1.0
_FIRST_DELAY_S = 0.1
_DELAY_S_MAX = 10.0


class Backoff:
    """The delay doubles with each early death in a row, from the second on; a sound life forgets them."""

    __slots__ = ("_early_deaths",)

    def __init__(self) -> None:
        self._early_deaths = 0

    def delay_s(self, lived_s: float) -> float:
        """How long to wait after a death. ``lived_s``: since the worker said it was ready; 0 when it never did."""
        if lived_s >= _SOUND_LIFE_S:
            self._early_deaths = 0
            return 0.0
        self._early_deaths += 1
        if self._early_deaths == 1:
            return 0.0
        # The exponent is bounded: a slot may crash for weeks.
        return min(_FIRST_DELAY_S * 2.0 ** min(self._early_deaths - 2, 16), _DELAY_S_MAX)
