"""Whose sockets are lent to whom: a slot without a worker that serves has clients in its queue, and its pool's other
workers have time.

The kernel spreads new connections over the sockets of an address, served or not. To close one would reset what waits
in its queue; lent to another worker, nothing is lost, and nobody waits for a back-off to end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from socket import socket
from typing import Generic, Protocol, TypeVar

from gateway.control.pools import PoolSpec
from gateway.control.worker_process import WorkerProcess


class Place(Protocol):
    """A slot, as far as it matters here."""

    spec: PoolSpec
    number: int
    worker: WorkerProcess | None

    @property
    def is_serving(self) -> bool: ...


S = TypeVar("S", bound=Place)


class Loans(Generic[S]):
    """``sockets_of``: those that a slot listens on."""

    def __init__(self, sockets_of: Callable[[S], Sequence[socket]]) -> None:
        self._sockets_of = sockets_of
        self._lent: dict[S, WorkerProcess] = {}

    def settle(self, slots: Iterable[S]) -> None:
        """Lend what nobody serves, take back what is served again. To be called when a worker comes or goes."""
        slots = list(slots)
        serving = [slot for slot in slots if slot.is_serving]
        helpers = {slot.worker for slot in serving}
        for slot, helper in list(self._lent.items()):
            if slot not in slots or slot.is_serving:
                helper.take_back(slot.number)
                del self._lent[slot]
            elif helper not in helpers:
                del self._lent[slot]
        for slot in slots:
            if not slot.is_serving and slot not in self._lent:
                self._lend(slot, [one for one in serving if one.spec == slot.spec])

    def _lend(self, slot: S, others: Sequence[S]) -> None:
        """To one that has the fewest."""
        held = Counter(self._lent.values())
        for helper in sorted((one.worker for one in others if one.worker is not None), key=lambda one: held[one]):
            if helper.lend(slot.number, self._sockets_of(slot)):
                self._lent[slot] = helper
                return
