"""How many connections a worker has room for: descriptors are left for its own work, whoever wants the others."""

from __future__ import annotations

import ipaddress
import resource
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# What the worker opens beside connections: files of counters, limits, snapshots, certificates and logs, its loop, its
# channel, names that are looked up. A dozen as a rule.
SPARE_DESCRIPTORS: Final = 64
# Of the others clients may have so much, and connections to upstreams whatever is left.
_OF_CLIENTS: Final = 3 / 4
_LEAST: Final = 64
_UNLIMITED: Final = 1 << 20
PLAIN: Final = 1  # descriptors of a connection
ENCRYPTED: Final = 2  # one more is for what the kernel says of it (`metering/tcp_info.py`)


class Capacity:
    """What one worker's connections have of its descriptors, and how many connections each address has.

    ``clients_max``: descriptors that clients may have together. Of one address half of them, so that nobody has all.
    """

    __slots__ = (
        "_address_set",
        "_by_address",
        "_connections_set",
        "_descriptors",
        "clients",
        "clients_max",
        "upstreams",
    )

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
        self._descriptors = max(_LEAST, descriptors - SPARE_DESCRIPTORS)
        self._connections_set = connections_max or _UNLIMITED
        self._address_set = address_max
        self.clients_max = int(self._descriptors * _OF_CLIENTS)
        self.clients = 0  # descriptors in use
        self.upstreams = 0
        self._by_address: dict[Address, int] = {}

    def takes_client(self, connections: int, each: int, coming: int) -> bool:
        """Whether one more may come, beside ``connections`` that are there and ``coming`` that are about to."""
        wanted = self.clients + (coming + 1) * each
        if connections + coming >= self._connections_set or wanted > self.clients_max:
            return False
        return wanted + self.upstreams <= self._descriptors

    def takes_upstream(self, dialing: int) -> bool:
        return self.clients + self.upstreams + dialing < self._descriptors

    def is_at_most(self, address: Address, each: int) -> bool:
        """Whether one more of this address would be too many."""
        most = self._address_set or min(self._connections_set, self.clients_max // each) // 2
        return self._by_address.get(address, 0) >= most

    def enter(self, address: Address, each: int) -> None:
        self.clients += each
        self._by_address[address] = self._by_address.get(address, 0) + 1

    def leave(self, address: Address, each: int) -> None:
        self.clients -= each
        left = self._by_address[address] - 1
        if left:
            self._by_address[address] = left
        else:
            del self._by_address[address]


def descriptors_of(scheme: bytes) -> int:
    """Of a client's connection."""
    return ENCRYPTED if scheme == b"https" else PLAIN
