"""Connections to one address of an upstream, shared by all services of an instance that go there alike (L8, L11)."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, NamedTuple

from gateway.proxy.capacity import ENCRYPTED, PLAIN
from gateway.proxy.resolver import Address, literal_address
from metering.cells import egress_cell

if TYPE_CHECKING:
    from gateway.proxy.upstream import UpstreamConnection


class Peer(NamedTuple):
    """What must be the same for a connection to serve either of two services. Instances share nothing (L8)."""

    instance: str
    host: str
    port: int
    network: str  # whose bytes they are, as X16 meters them
    egress_ip: str | None
    tls: str  # the TLS settings as text; "" for none
    idle_s: float


class Pool:
    """Those at rest, and how many there may be. A service with a thousand others beside it finds a warm one here."""

    __slots__ = (
        "connections",
        "connections_max",
        "descriptors",
        "egress_offset",
        "idle",
        "idle_s",
        "is_named",
        "is_retired",
        "peer",
        "tls",
    )
    idle: dict[UpstreamConnection, None]
    connections: set[UpstreamConnection]
    connections_max: int
    is_retired: bool
    idle_s: float
    egress_offset: int

    def __init__(self, peer: Peer, tls: ssl.SSLContext | None) -> None:
        self.peer = peer
        self.tls = tls
        self.descriptors = PLAIN if tls is None else ENCRYPTED  # of a connection
        self.idle_s = peer.idle_s
        self.egress_offset = egress_cell("backend", peer.network, "application")
        # Resting ones in the order in which they came to rest; a dict, as any of them may be closed at any time.
        self.idle = {}
        self.connections = set()  # resting ones too
        self.connections_max = 0  # of all its targets together
        self.is_retired = False
        self.is_named = not literal_address(peer.host)

    @property
    def takes_back(self) -> bool:
        """Whether a connection may rest: a snapshot may have taken the last target away, or lowered their most."""
        return not self.is_retired and len(self.connections) <= self.connections_max

    def keep_to(self, addresses: frozenset[Address]) -> None:
        """The name is at these from now on. Connections to others are as those of a pool that is no more."""
        gone = [one for one in self.connections if one.address not in addresses]
        if not gone:
            return
        past = Pool(self.peer, self.tls)
        for connection in gone:
            self.idle.pop(connection, None)
            self.connections.discard(connection)
            connection.pool = past
            past.connections.add(connection)
        past.retire()

    def retire(self) -> None:
        """No snapshot has a target of it any more: what rests closes now, what is under way at its end."""
        self.is_retired = True
        for connection in [one for one in self.connections if one.is_reused and one.client is None]:
            connection.abort()  # Those too that rest for the client who logged them in.
