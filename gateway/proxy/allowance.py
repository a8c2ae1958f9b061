"""How long a connection to an upstream may rest, and how many requests it is good for, by what the upstream says."""

from __future__ import annotations

from typing import Final

from gateway.http.keep_alive import NUMBER_MAX, KeepAlive
from gateway.proxy.core import SWEEP_INTERVAL_S

# So much less than the upstream said: a request may be on its way for some of it, and deadlines are a sweep late.
MARGIN_S: Final = SWEEP_INTERVAL_S + 0.25


class Allowance:
    """One connection's."""

    __slots__ = ("_requests_left",)

    def __init__(self) -> None:
        self._requests_left = NUMBER_MAX

    def rest_s(self, said: KeepAlive, idle_s: float) -> float:
        """After an answer that said so: how long it may rest, ``idle_s`` at most. 0 or less: not at all.

        Of ``max`` requests the one that is answered may be the first, or not among them: servers differ.
        """
        self._requests_left = min(self._requests_left, said.requests_max) - 1
        return 0.0 if self._requests_left <= 0 else min(idle_s, said.timeout_s - MARGIN_S)
