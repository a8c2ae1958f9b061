"""Requests over a limit that wait for capacity, in order of arrival, for a bounded time (RULES X33 `wait_ms_max`).

A service that lets requests wait has one room in each worker. Whoever is in it is admitted by the very limits that
refused it, when its turn comes: waiting adds no capacity and the contract of `limit.py` holds as it is. One task looks
through the room when the limits say that capacity is due; an `AsyncLimiter` paces those turns, as at 50,000 a second,
or with many workers after the same token, something would be due at every instant.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from aiolimiter import AsyncLimiter

from gateway.limits.admission import LimitSet
from gateway.limits.limit import Bound

# In a worker, of a service. Each holds a connection and its head; 2,500 a second and a wait of 400 ms make as many.
WAITING_MAX: Final = 1024
TURN_S: Final = 0.002  # A turn through a full room takes a tenth of that.


class Waiting:
    """A request that waits. ``decided`` is called once with None, admitted, or with what refused it at the last.

    It is called in the middle of a turn, so it does no more than to have the loop call what follows.
    ``bound`` is what it waits for, as of the last turn. ``is_gone`` is set by whoever no longer waits: it is passed
    over, and not called.
    """

    __slots__ = ("bound", "deadline_ns", "decided", "is_gone", "limits")

    def __init__(
        self, limits: LimitSet, bound: Bound, deadline_ns: int, decided: Callable[[Bound | None], None]
    ) -> None:
        self.limits = limits
        self.bound = bound
        self.deadline_ns = deadline_ns
        self.decided = decided
        self.is_gone = False


class WaitingRoom:
    """In order of arrival; those whose limits have capacity are not held up by those before them whose have none."""

    __slots__ = ("_awaited", "_is_tended", "_news", "_pace", "_waiting", "wait_ns_max")

    def __init__(self, wait_ms_max: int) -> None:
        self.wait_ns_max = wait_ms_max * 1_000_000
        self._waiting: deque[Waiting] = deque()
        self._awaited: dict[LimitSet, Bound] = {}  # by set that somebody waits for, what he waits for
        self._is_tended = False
        self._news = asyncio.Event()
        self._pace = AsyncLimiter(1, TURN_S)

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= WAITING_MAX

    def awaited(self, limits: LimitSet) -> Bound | None:
        """What somebody waits for who would come before another of these limits."""
        return self._awaited.get(limits)

    def enter(self, waiting: Waiting) -> bool:
        """False where a task has to run `tend` now. The room is not full."""
        self._waiting.append(waiting)
        self._awaited.setdefault(waiting.limits, waiting.bound)
        self._news.set()
        was_tended, self._is_tended = self._is_tended, True
        return was_tended

    async def tend(self) -> None:
        """Turns until the room is empty."""
        try:
            while self._waiting:
                await self._pace.acquire()
                self._news.clear()
                rest_s = self.turn(time.monotonic_ns()) / 1e9
                if self._waiting:
                    await self._news_within(rest_s)
        finally:
            self._is_tended = False

    async def _news_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass

    def turn(self, now_ns: int) -> int:
        """Admits, in order, whom the limits have capacity for, and refuses whose time is over.

        Returns the nanoseconds until the next turn is due: capacity, or the end of a wait.
        """
        refused: dict[LimitSet, Bound] = {}  # A set that has refused one has nothing for those behind it.
        kept: deque[Waiting] = deque()
        awaited: dict[LimitSet, Bound] = {}
        due_ns = now_ns + self.wait_ns_max
        for waiting in self._waiting:
            if waiting.is_gone:
                continue
            limits = waiting.limits
            bound = refused.get(limits)
            if bound is None:
                bound = limits.admit(now_ns)
                if bound is None:
                    waiting.decided(None)
                    continue
                refused[limits] = bound
                due_ns = min(due_ns, now_ns + bound.wait_ns(now_ns))
            if waiting.deadline_ns <= now_ns:
                waiting.decided(bound)
                continue
            due_ns = min(due_ns, waiting.deadline_ns)
            waiting.bound = awaited[limits] = bound
            kept.append(waiting)
        self._waiting = kept
        self._awaited = awaited
        return max(0, due_ns - now_ns)
