"""Exchanges that hold a target's connections and do not move, when others want one.

A target has so many connections and no more (`connections_max`). Who sends a byte now and then, or does not take the
answer, has one for as long as he likes; nobody minds while there are others. When there are none, he goes first.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.proxy.core import Core
    from gateway.proxy.target import Target

SLOW_S: Final = 1.0  # Content that has been coming for so long
SLOW_BYTES_S: Final = 1024  # at less than this is slow,
STALLED_S: Final = 5.0  # and so is who has not taken what waits for him in this time.
LET_GO_TOGETHER: Final = 16
_LOOK_S: Final = 0.05  # A look at all clients is 0.15 ms for 10,000: not for each request that finds no room.


def make_room(core: Core, target: Target) -> None:
    """Lets go of those that have been in the way of a full target for the longest; of nobody where nobody is slow."""
    now_s = core.loop.time()
    if now_s - target.looked_s < _LOOK_S:
        return
    target.looked_s = now_s
    slow = [(client.slow_s(core.now_s), client) for client in core.clients if client.target is target]
    for slow_s, client in heapq.nlargest(LET_GO_TOGETHER, slow, key=lambda found: found[0]):
        if slow_s > 0:
            client.give_way()
