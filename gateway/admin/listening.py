"""The socket that the admin API is reached at: a few connections in each turn, so that a crowd holds nothing up."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Final

from gateway.admin.client import client_of
from gateway.admin.connections import Connection, Connections

_log = logging.getLogger(__name__)

_BACKLOG: Final = 128
_AT_ONCE: Final = 16
# Without a descriptor nothing is accepted for so long: what waits stays in the kernel's queue.
_REST_S: Final = 0.5


class Listening:
    """Accepts until it is closed. Raises OSError where it cannot listen."""

    def __init__(self, host: str, port: int, connections: Connections) -> None:
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._taking: set[asyncio.Task[None]] = set()
        self._rest: asyncio.TimerHandle | None = None
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        self._socket.setblocking(False)
        self._listen()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._socket.getsockname()[:2]
        return host, port

    def close(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _listen(self) -> None:
        self._rest = None
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                self._connections.none_left()
                self._loop.remove_reader(self._socket)
                self._rest = self._loop.call_later(_REST_S, self._listen)
                return
            connection = self._connections.open(client_of(address[0]))
            if connection is None:
                accepted.close()
                continue
            task = self._loop.create_task(self._take(accepted, connection), name="admin connection")
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)

    async def _take(self, accepted: socket.socket, connection: Connection) -> None:
        try:
            accepted.setblocking(False)
            await self._loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError as error:
            _log.info("a connection to the admin API was gone at once: %s", error)
            self._connections.forget(connection)
            accepted.close()
