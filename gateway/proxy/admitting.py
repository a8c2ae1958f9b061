"""A client's connection where limits decide: refusals by the level, and what is beyond a route's own limits, enforced
at once: keys with limits and quotas, shadow mode, and waiting for capacity (DESIGN 1.5, 1.7; RULES X33).
"""

from __future__ import annotations

import time
from functools import partial

from gateway.limits.limit import Bound
from gateway.limits.waiting import Waiting, WaitingRoom
from gateway.proxy.client_address import UNKNOWN, Address
from gateway.proxy.core import Core
from gateway.proxy.downstream import NO_LIMITS
from gateway.proxy.matching import Match
from gateway.proxy.relaying import Relaying
from gateway.proxy.service import Key, Route, Service
from gateway.proxy.state import LINGER
from metering.cells import LIMIT_REFUSALS, REFUSED_BESIDE_CLIENT, SHADOW_REFUSALS


class Admitting(Relaying):
    """``_key`` is the key of the last request that had one; ``_waiting`` is this request's place in a waiting room."""

    __slots__ = ("_key", "_waiting")

    def __init__(self, core: Core, network: str, scheme: str, address: Address = UNKNOWN) -> None:
        super().__init__(core, network, scheme, address)
        self._key: Key | None = None
        self._waiting: Waiting | None = None

    def _refuse_over(self, bound: Bound) -> None:
        self._meter.cells[self._row + LIMIT_REFUSALS[bound.level]] += 1
        fields = self._limits.refusal_fields(bound, time.monotonic_ns())
        self._limits = NO_LIMITS  # They are in the fields.
        if bound.level == "quota":
            self._refuse("quota_exceeded", "the quota of the key is used up", fields)
        else:
            self._refuse("rate_limited", f"over the limit of the {bound.level}", fields)

    def _passes_limits(self, match: Match, service: Service, length: int) -> bool:
        """Admits, where a route's own limits do not decide alone and at once. False: refused, or it waits."""
        route = match.route
        key = self._key if service.keys is not None else None
        self._limits = limits = route.enforced if key is None else route.limits_with(key)
        room = service.waiting_room
        # Who waits for the same is before this one; who waits for something else must not be passed over unseen.
        bound = None
        if room is not None and not room.is_empty:
            bound = room.awaited(limits)
            if bound is None and not room.is_full and limits.limits:
                bound = limits.limits[-1]
        if bound is None:
            bound = limits.admit(self._started_ns)
        if bound is None:
            self._pass_shadow(route, self._started_ns)
            return True
        if room is None or room.is_full or bound.level == "quota":
            self._refuse_over(bound)
        else:
            self._wait(room, bound, match, length)
        return False

    def _pass_shadow(self, route: Route, now_ns: int) -> None:
        """Counts what the limits in shadow mode would have refused, and refuses nothing."""
        if route.shadowed is not None:
            bound = route.shadowed.admit(now_ns)
            if bound is not None:
                self._would_refuse(bound)

    def _would_refuse(self, bound: Bound) -> None:
        self._meter.cells[self._row + SHADOW_REFUSALS[bound.level]] += 1

    # --- waiting

    def _wait(self, room: WaitingRoom, bound: Bound, match: Match, length: int) -> None:
        loop, turns = self._core.loop, self._core.turns

        def decided(refused: Bound | None) -> None:
            end = partial(self._end_wait, waiting, refused, match, length)
            if refused is None:
                loop.call_soon(end)
            else:
                # Those that came together are refused together, and are hundreds: some in each turn.
                turns.ask(end)

        # Who is refused in the end has cost nothing (X11), whatever is read of the wire meanwhile.
        self.wire.give_to(self._row + REFUSED_BESIDE_CLIENT, self._started_ns)
        waiting = Waiting(self._limits, bound, self._started_ns + room.wait_ns_max, decided)
        self._waiting = waiting
        if not room.enter(waiting):
            self._core.keep(loop.create_task(room.tend(), name="waiting room"))

    def _end_wait(self, waiting: Waiting, refused: Bound | None, match: Match, length: int) -> None:
        if waiting.is_gone:
            return  # Since the turn that decided on it; what was taken for it is lost, as with a worker that dies.
        self._waiting = None
        if refused is not None:
            self._refuse_over(refused)
            return
        self._pass_shadow(match.route, time.monotonic_ns())
        self._core.read_clock()
        self.wire.give_to(self._row, self._started_ns)
        self._forward(match, match.usable_target(), length)
        self._read_waiting_content()

    def _leave_waiting(self) -> None:
        """The client is gone. It had asked, and was never admitted: a front-end error, and no call."""
        waiting = self._waiting
        if waiting is not None:
            waiting.is_gone = True
            self._waiting = None
            self._meter.cells[self._row + LIMIT_REFUSALS[waiting.bound.level]] += 1
            self._count_front_error("rate_limited")
            self._end_exchange()
            self._state = LINGER

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave_waiting()
        super().connection_lost(exc)
