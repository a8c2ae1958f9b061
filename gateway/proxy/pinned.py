"""Connections to upstreams that stay one client's: who logs in by NTLM or Negotiate logs in the connection.

In the pool, the next client would be taken for the one who logged in (RFC 4559 6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.proxy.service import Service
    from gateway.proxy.upstream import UpstreamConnection


class Pinned:
    """One client's, while it is connected: those at rest, one for each service. Bounded as those in a pool are."""

    __slots__ = ("_resting",)

    def __init__(self) -> None:
        self._resting: dict[str, UpstreamConnection] = {}

    def put(self, service: str, connection: UpstreamConnection) -> None:
        """An exchange has ended."""
        before = self._resting.get(service)
        if before is not None:
            before.abort()  # Its target was not to be used, or it was lost and took another.
        self._resting[service] = connection
        connection.rest_for(self)

    def take(self, service: Service) -> UpstreamConnection | None:
        """For the next exchange with the service, whatever its balance; None where it has to log in anew."""
        connection = self._resting.pop(service.id, None)
        if connection is None:
            return None
        target = connection.target
        is_closing = connection.transport is None or connection.transport.is_closing()
        if is_closing or target.pool is not connection.pool or target not in service.targets.usable:
            connection.abort()
            return None
        return connection

    def forget(self, connection: UpstreamConnection) -> None:
        """It has closed, or is about to."""
        for service, resting in self._resting.items():
            if resting is connection:
                del self._resting[service]
                return

    def close(self) -> None:
        """The client has gone."""
        for connection in list(self._resting.values()):
            connection.abort()
