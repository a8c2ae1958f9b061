"""What a snapshot no longer allows ends: nobody keeps what an earlier one allowed by holding on to it.

Where a service was changed or taken away, or its instance may no longer serve, what is under way there is asked about
by the checks that it began with. What still passes goes on; connections at rest meet the rules at their next request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet
from typing import Final, cast

from gateway.proxy.client import ClientConnection
from gateway.proxy.core import PASSED_TOGETHER_MAX, Core

# For an exchange to end by itself, where the node's `drain` is no shorter: a call that was let in is answered, as the
# usual deadline of an answer is as long. A tunnel has no end of its own, so it is not waited for.
GRACE_S_MAX: Final = 30.0


class Revocation:
    """One worker's."""

    def __init__(self, core: Core, drain_s: float) -> None:
        self._core = core
        self._grace_s = min(drain_s, GRACE_S_MAX)
        # When which exchange began that is to end, and by when: one at the most for each client.
        self._ending: dict[ClientConnection, tuple[int, float]] = {}

    async def look_again(self, serving: AbstractSet[str]) -> None:
        """To be called when a snapshot has come into use. ``serving``: instances that may."""
        core = self._core
        clients = [cast(ClientConnection, client) for client in core.clients]
        in_doubt = [client for client in clients if client.is_in_doubt(serving)]
        for number, client in enumerate(in_doubt, 1):
            # Others were served meanwhile, and this one's next request may be by the rules of now.
            if client in core.clients and client.is_in_doubt(serving) and client.look_again(serving):
                self._give_time(client)
            if number % PASSED_TOGETHER_MAX == 0:
                await asyncio.sleep(0)

    def _give_time(self, client: ClientConnection) -> None:
        known = self._ending.get(client)
        if known is None or known[0] != client.began_ns:
            self._ending[client] = (client.began_ns, self._core.read_clock() + self._grace_s)

    async def sweep(self) -> None:
        """Ends what is due. To be called each SWEEP_INTERVAL_S."""
        core = self._core
        due = [client for client, (_, ends_s) in self._ending.items() if ends_s < core.now_s]
        for number, client in enumerate(due, 1):
            began_ns, ends_s = self._ending[client]
            if ends_s < core.now_s:  # Still, though others were served meanwhile.
                del self._ending[client]
                if client in core.clients:
                    client.end_by(began_ns)
            if number % PASSED_TOGETHER_MAX == 0:
                await asyncio.sleep(0)
