"""How many requests of a service may be sent again, so that a dying upstream is not hammered (DESIGN 1.2)."""

from __future__ import annotations

from typing import Final

WINDOW_S: Final = 10.0
RETRY_RATIO: Final = 0.2  # of the requests in the window
# On top, in each window: lets a quiet service retry at all, and the connections of one dead target move over at once.
RETRIES_MIN: Final = 100


class RetryBudget:
    """A sliding window for one service and worker. Costs a request nothing: calls are read from the meter at a retry.

    The window slides over two fixed ones: what the last one had counts by the part of it that is still inside.
    """

    __slots__ = ("_began_s", "_calls_before", "_calls_began", "_retries", "_retries_before")

    def __init__(self, now_s: float) -> None:
        self._began_s = now_s
        self._calls_began = 0  # the meter's count when this window began
        self._calls_before = 0.0
        self._retries = 0
        self._retries_before = 0

    def take(self, calls: int, now_s: float) -> bool:
        """May one more be sent again? ``calls`` is the meter's count, which only grows within an hour."""
        if calls < self._calls_began:
            self._calls_began = 0  # A new hour's file counts from zero.
        if now_s >= self._began_s + WINDOW_S:
            self._turn(calls, now_s)
        share = max(0.0, 1 - (now_s - self._began_s) / WINDOW_S)
        requests = self._calls_before * share + calls - self._calls_began
        if self._retries_before * share + self._retries >= RETRY_RATIO * requests + RETRIES_MIN:
            return False
        self._retries += 1
        return True

    def _turn(self, calls: int, now_s: float) -> None:
        elapsed_s = now_s - self._began_s
        # Nobody looked in between: the calls are taken as evenly spread over the time since.
        self._calls_before = (calls - self._calls_began) * WINDOW_S / elapsed_s
        is_adjacent = elapsed_s < 2 * WINDOW_S
        self._retries_before = self._retries if is_adjacent else 0
        self._retries = 0
        self._calls_began = calls
        self._began_s = now_s
