"""An upstream that keeps every byte it is sent, and answers with the bytes a test gives it."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from dataclasses import dataclass, field

import h11

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Script:
    """What one request is answered with. ``early``: as soon as its head is there, its content or not."""

    answer: bytes = OK
    early: bool = False
    then: str = "stay"  # or "close", "reset", "shut" (no more from us, but we read on)


@dataclass
class Seen:
    """One request as it came. ``raw`` is every byte of it, ``is_whole`` whether h11 found its end."""

    raw: bytes = b""
    start: bytes = b""
    fields: dict[str, str] = field(default_factory=dict)
    content: bytes = b""
    is_whole: bool = False


class _Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.is_gone = False
        self.newest: Seen | None = None
        self.renew()

    def renew(self) -> None:
        self.reader = h11.Connection(h11.SERVER)
        self.seen: Seen | None = None
        self.is_answered = False


class RawUpstream:
    """One thread, so that what it records is in the order in which it came."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listening.getsockname()[1]
        self.requests: list[Seen] = []
        self.scripts: list[Script] = []
        self.connections: list[_Connection] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._stop, self._stopped = socket.socketpair()
        self._selector.register(self._stopped, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def reset(self) -> None:
        self.requests, self.scripts = [], []

    def will(self, *answers: bytes | Script) -> None:
        """The next requests' answers, in order; after them OK again."""
        self.scripts = [answer if isinstance(answer, Script) else Script(answer) for answer in answers]

    @property
    def raw(self) -> bytes:
        """Every byte since the last reset."""
        return b"".join(request.raw for request in self.requests)

    def newest_busy(self) -> _Connection:
        """The connection that the newest request came over."""
        return self.connection_of(self.requests[-1])

    def connection_of(self, request: Seen) -> _Connection:
        return next(connection for connection in self.connections if connection.newest is request)

    def open_count(self) -> int:
        return sum(not connection.is_gone for connection in self.connections)

    def stop(self) -> None:
        self._stop.close()
        self._thread.join()
        for connection in self.connections:
            connection.socket.close()
        self._listening.close()
        self._stopped.close()
        self._selector.close()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._stopped:
                    return
                if key.fileobj is self._listening:
                    sock, _ = self._listening.accept()
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    connection = _Connection(sock)
                    self.connections.append(connection)
                    self._selector.register(sock, selectors.EVENT_READ, connection)
                else:
                    self._read(key.data)

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self._forget(connection)
            return
        if connection.seen is None:
            connection.seen = connection.newest = Seen()
            self.requests.append(connection.seen)
        connection.seen.raw += data
        try:
            connection.reader.receive_data(data)
            self._take_events(connection, connection.seen)
        except h11.ProtocolError:
            pass  # Another protocol, or nonsense: the bytes are kept, which is what tests look at.

    def _take_events(self, connection: _Connection, seen: Seen) -> None:
        while True:
            event = connection.reader.next_event()
            if isinstance(event, h11.Request):
                seen.start = bytes(event.method) + b" " + bytes(event.target)
                seen.fields = {}
                for name, value in event.headers:
                    key, text = bytes(name).decode(), bytes(value).decode("latin-1")
                    seen.fields[key] = f"{seen.fields[key]} | {text}" if key in seen.fields else text
                if self.scripts and self.scripts[0].early:
                    self._answer(connection)
            elif isinstance(event, h11.Data):
                seen.content += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                seen.is_whole = True
                if not connection.is_answered:
                    self._answer(connection)
                if not connection.is_gone and connection.reader.trailing_data == (b"", False):
                    connection.renew()
                return
            else:
                return

    def _answer(self, connection: _Connection) -> None:
        script = self.scripts.pop(0) if self.scripts else Script()
        connection.is_answered = True
        if script.answer:
            connection.socket.sendall(script.answer)
        self.end(connection, script.then)

    def end(self, connection: _Connection, how: str) -> None:
        if how == "reset":
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if how == "shut":
            connection.socket.shutdown(socket.SHUT_WR)
        elif how != "stay":
            self._forget(connection)

    def _forget(self, connection: _Connection) -> None:
        if not connection.is_gone:
            connection.is_gone = True
            self._selector.unregister(connection.socket)
            connection.socket.close()
