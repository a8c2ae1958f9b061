"""Origins of the test's making: plain sockets that do as they are told, for what a well-behaved origin never does."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.node import until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[[socket.socket], None]


class Origin:
    """Serves each connection in a thread, by ``serve``; may be stopped and started again on the same port."""

    def __init__(self, serve: Serve, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.host, self.port, self._serve, self._tls = host, port, serve, tls
        self.peers: list[str] = []  # addresses that connections came from
        self.connections: set[socket.socket] = set()
        self.server_names: list[str | None] = []
        self.requests = 0
        if tls is not None:
            tls.sni_callback = lambda _, name, __: self.server_names.append(name)
        self.start()

    def start(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listening = socket.create_server((self.host, self.port), family=family, backlog=512)
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, args=(self._listening,), daemon=True)
        self._thread.start()

    def receive_bytes(self, size: int) -> None:
        """How much later connections take before they are read from."""
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, peer = listening.accept()
            except OSError:
                return
            self.peers.append(peer[0])
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self.connections.add(connection)
            try:
                self._serve(connection)
            finally:
                self.connections.discard(connection)
                connection.close()

    def stop(self) -> None:
        """Refuses new connections and resets those that stand."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.shutdown(socket.SHUT_RDWR)
        until(lambda: not self.connections, "the origin's connections have ended")


@contextmanager
def origin_of(
    serve: Serve, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[Origin]:
    running = Origin(serve, host, port, tls)
    try:
        yield running
    finally:
        running.stop()


def read_head(connection: socket.socket) -> bytes:
    """A request's head with what came after it; empty when the other side closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            return b""
        data += more
    return data


def answering(answer: bytes = OK) -> Serve:
    """Answers every request of a connection alike. Requests have no content."""

    def serve(connection: socket.socket) -> None:
        while read_head(connection):
            connection.sendall(answer)

    return serve


def naming(name: str) -> Serve:
    return answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name.encode()))


def silent_after(data: bytes) -> Serve:
    """Reads the request, says this much, and no more until the other side closes."""

    def serve(connection: socket.socket) -> None:
        if read_head(connection):
            connection.sendall(data)
            while connection.recv(65_536):
                pass

    return serve
