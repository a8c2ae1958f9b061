"""Work that was more than one turn of the loop has room for: done a little in each, in the order in which it was asked.

What a peer sends with one read may be work for seconds: requests that are all refused, content in chunks of one byte.
A connection does what its bound of a turn allows, keeps the rest, and asks for another turn here. So whoever sends such
things waits behind the others, and not they behind it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

# Of all connections together, in one turn of the loop. Each is some 0.1 ms, and everybody else waits for all of them.
STEPS_TOGETHER_MAX: Final = 4
# Requests that one connection has answered by the gateway itself, in one of its turns.
REQUESTS_TOGETHER_MAX: Final = 4


class Turns:
    """One per worker. Who asks sees to it that it asks once, and looks whether there still is something to do."""

    __slots__ = ("_is_due", "_loop", "_steps")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._steps: deque[Callable[[], None]] = deque()
        self._is_due = False

    def ask(self, step: Callable[[], None]) -> None:
        """``step`` is called in a later turn, behind all that was asked for before."""
        self._steps.append(step)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._take)

    def _take(self) -> None:
        steps = self._steps
        together = min(len(steps), STEPS_TOGETHER_MAX)
        self._is_due = len(steps) > together
        if self._is_due:
            self._loop.call_soon(self._take)  # Before the steps: should one fail, the others go on.
        for _ in range(together):
            steps.popleft()()
