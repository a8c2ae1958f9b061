"""Failed tries at the admin token: some are a mistake, more are guesses, and are slowed down."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

# A person who pastes the wrong token tries a few times; a script with an old one goes on at this pace.
TRIES_OF_CLIENT: Final = 10
INTERVAL_OF_CLIENT_S: Final = 6.0
# Of all clients together: guesses from many addresses.
TRIES_OF_ALL: Final = 100
INTERVAL_OF_ALL_S: Final = 0.5
_CLIENTS_MAX: Final = 1024  # the one that was silent for longest is forgotten


class Tries:
    """So many at once, and one more after each interval."""

    __slots__ = ("_interval_s", "_most", "_used_up_to_s")

    def __init__(self, most: int, interval_s: float) -> None:
        self._most = most
        self._interval_s = interval_s
        self._used_up_to_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """Until there is one again; 0 when there is one."""
        return max(0.0, self._used_up_to_s - (self._most - 1) * self._interval_s - now_s)

    def use(self, now_s: float) -> None:
        """One, or the last: what comes on top of it makes the wait no longer."""
        latest_s = now_s + self._most * self._interval_s
        self._used_up_to_s = min(latest_s, max(self._used_up_to_s, now_s) + self._interval_s)


class Guesses:
    """By client, and in all."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._all = Tries(TRIES_OF_ALL, INTERVAL_OF_ALL_S)
        self._clients: OrderedDict[str, Tries] = OrderedDict()

    def wait_s(self, client: str) -> float:
        """How long this client has to wait before its next try; 0 when it has not."""
        now_s = self._now()
        tries = self._clients.get(client)
        return max(self._all.wait_s(now_s), 0.0 if tries is None else tries.wait_s(now_s))

    def failed(self, client: str) -> None:
        now_s = self._now()
        tries = self._clients.pop(client, None) or Tries(TRIES_OF_CLIENT, INTERVAL_OF_CLIENT_S)
        tries.use(now_s)
        self._clients[client] = tries
        if len(self._clients) > _CLIENTS_MAX:
            self._clients.popitem(last=False)
        self._all.use(now_s)
