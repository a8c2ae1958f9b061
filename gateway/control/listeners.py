"""The listening sockets: one SO_REUSEPORT socket for each entry address and worker slot.

The control process keeps them open, so that what waits in the queue of a dead worker goes to its successor in the
same slot, and a planned replacement loses no connection attempt: both share one open socket.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import NamedTuple

from gateway.control.errors import StartError

# The kernel cuts this down to net.core.somaxconn.
_BACKLOG = 65_535


class Place(NamedTuple):
    """Where one worker slot listens. ``port`` is not 0: every slot of an entry has the same one."""

    host: str
    port: int
    slot: int


class ListenerShelf:
    """Open sockets by place; opened when first asked for, closed when no longer wanted."""

    def __init__(self) -> None:
        self._sockets: dict[Place, socket.socket] = {}

    def open(self, places: Iterable[Place], *, is_shared: bool = False) -> dict[Place, socket.socket]:
        """The sockets of these places. Raises StartError, with none of the new ones left open.

        SO_REUSEPORT would let two nodes of one user take an address together and split its traffic, so an address
        that is new here has to be free, unless ``is_shared``: workers of an earlier control process still hold it.
        """
        wanted = list(places)
        fresh: list[Place] = []
        known = {(place.host, place.port) for place in self._sockets}
        try:
            for place in wanted:
                if place in self._sockets:
                    continue
                if not is_shared and (place.host, place.port) not in known:
                    _bound(place, reuse_port=False).close()
                    known.add((place.host, place.port))
                self._sockets[place] = _listen(place)
                fresh.append(place)
        except OSError as error:
            for opened in fresh:
                self._sockets.pop(opened).close()
            raise StartError(f"cannot listen on {_text(place)}: {error.strerror or error}") from None
        return {place: self._sockets[place] for place in wanted}

    def keep_only(self, places: Iterable[Place]) -> None:
        """Close every socket but these."""
        for place in self._sockets.keys() - set(places):
            self._sockets.pop(place).close()

    def close(self) -> None:
        self.keep_only(())


def require_free(place: Place) -> None:
    """Raises StartError where nobody could listen on the address now."""
    try:
        _bound(place, reuse_port=False).close()
    except OSError as error:
        raise StartError(f"cannot listen on {_text(place)}: {error.strerror or error}") from None


def _listen(place: Place) -> socket.socket:
    listener = _bound(place, reuse_port=True)
    try:
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _bound(place: Place, *, reuse_port: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        bound.bind((place.host, place.port))
    except BaseException:
        bound.close()
        raise
    return bound


def _text(place: Place) -> str:
    return f"[{place.host}]:{place.port}" if ":" in place.host else f"{place.host}:{place.port}"
