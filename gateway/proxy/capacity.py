"""How many connections a worker has room for: descriptors are left for its own work, whoever wants the others."""

from __future__ import annotations

import ipaddress
import resource
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# What the worker opens beside connections: files of counters, limits, snapshots, certificates and logs, its loop, its
# channel, names that are looked up. A dozen as a rule.
SPARE_DESCRIPTORS: Final = 64
# A client's connection may have one to an upstream, and of TLS each has a second descriptor (`metering/tcp_info.py`).
_DESCRIPTORS_EACH: Final = 4
_CONNECTIONS_LEAST: Final = 16
_UNLIMITED: Final = 1 << 20


class Capacity:
    """The bounds of one worker, and how many connections each address has.

    ``connections_max``: of clients, and as many to upstreams. ``address_max``: of one client address, so that nobody
    has all of them.
    """

    __slots__ = ("_by_address", "address_max", "connections_max")

    def __init__(
        self,
        connections_max: int | None = None,
        address_max: int | None = None,
        *,
        descriptors: int | None = None,
    ) -> None:
        """``connections_max``, ``address_max``: as set. ``descriptors``: the most of the process, unless told."""
        if descriptors is None:
            descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if descriptors < 0:  # RLIM_INFINITY
            descriptors = _UNLIMITED
        room = max(_CONNECTIONS_LEAST, (descriptors - SPARE_DESCRIPTORS) // _DESCRIPTORS_EACH)
        self.connections_max = room if connections_max is None else min(connections_max, room)
        self.address_max = address_max or self.connections_max // 2
        self._by_address: dict[Address, int] = {}

    def is_at_most(self, address: Address) -> bool:
        """Whether one more of this address would be too many."""
        return self._by_address.get(address, 0) >= self.address_max

    def enter(self, address: Address) -> None:
        self._by_address[address] = self._by_address.get(address, 0) + 1

    def leave(self, address: Address) -> None:
        left = self._by_address[address] - 1
        if left:
            self._by_address[address] = left
        else:
            del self._by_address[address]
