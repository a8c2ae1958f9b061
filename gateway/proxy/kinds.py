"""Which kind of connection a client gets: what a node does not want costs its requests nothing."""

from __future__ import annotations

from gateway.proxy.client import ClientConnection
from gateway.proxy.client_address import UNKNOWN, Address
from gateway.proxy.core import Core
from gateway.proxy.observed import ObservedConnection
from gateway.proxy.traced import TracedConnection


def make_client(core: Core, network: str, scheme: str, address: Address = UNKNOWN) -> ClientConnection:
    """A connection of the kind that this worker's configuration asks for."""
    if core.tracer is not None:
        return TracedConnection(core, network, scheme, address, core.access_log, core.tracer)
    if core.access_log is not None:
        return ObservedConnection(core, network, scheme, address, core.access_log)
    return ClientConnection(core, network, scheme, address)
