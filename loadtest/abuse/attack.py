"""What an attack is: what its node is like, what each of its connections does, and what must hold beside it."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from loadtest.abuse.stage import Stage

READ_BYTES: Final = 1 << 18
STREAM_BYTES: Final = 1 << 16  # An attacker that does not read leaves no more than twice this out of the kernel.
_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3})")
_STATUS_BYTES: Final = len(b"HTTP/1.1 200")
_NO_LINGER: Final = struct.pack("ii", 1, 0)


@dataclass
class Seen:
    """What the attacker did and was told. ``sent`` is counted before, ``cut``: connections that the node ended."""

    connected: int = 0
    sent: int = 0
    answered: Counter[int] = field(default_factory=Counter)  # by status
    cut: int = 0
    bytes_sent: int = 0
    bytes_read: int = 0
    noted: dict[str, int] = field(default_factory=dict)  # what is bounded by name, `Attack.bounds`

    def document(self) -> dict[str, Any]:
        return {**vars(self), "answered": dict(self.answered)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        answered = Counter({int(status): number for status, number in document["answered"].items()})
        return cls(**{**document, "answered": answered})


class Line:
    """One connection of the attacker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        self._reader, self._writer, self._seen = reader, writer, seen
        self._tail = b""

    async def send(self, data: bytes) -> None:
        self._seen.bytes_sent += len(data)
        self._writer.write(data)
        await self._writer.drain()

    async def read(self) -> bytes:
        """What came; the statuses in it are counted. Raises ConnectionResetError at the end."""
        data = await self._reader.read(READ_BYTES)
        if not data:
            raise ConnectionResetError("the node closed")
        self._seen.bytes_read += len(data)
        text = self._tail + data
        for status in _STATUS.findall(text):
            self._seen.answered[int(status)] += 1
        # Of a status that is whole a part only is kept, so none is counted twice.
        self._tail = text[-(_STATUS_BYTES - 1) :]
        return data

    async def read_on(self) -> None:
        """Until it ends, by ConnectionResetError."""
        while True:
            await self.read()

    async def read_byte(self) -> None:
        self._seen.bytes_read += len(await self._reader.readexactly(1))

    async def answer(self) -> int:
        """One answer whose length is declared, whole; its status."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        content = await self._reader.readexactly(int(length[1]) if length else 0)
        status = int(head[9:12])
        self._seen.answered[status] += 1
        self._seen.bytes_read += len(head) + len(content)
        return status

    def reset(self) -> None:
        """Gone at once, and no port waits for what may come late."""
        connection = self._writer.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._writer.transport.abort()


async def until_one_ends(*steps: Coroutine[Any, Any, None]) -> None:
    """Both ways of a connection. Raises what ended the first of them; the others are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in steps]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def for_ever() -> None:
    """In place of reading, of an attacker that does not."""
    await asyncio.Event().wait()


@dataclass
class Ground:
    """Where an attacker stands: ports of this machine, and what it has seen."""

    entry: int
    admin: int
    upstream: int
    is_tls: bool
    seen: Seen = field(default_factory=Seen)

    async def connect(self, port: int = 0, *, is_plain: bool = False, receive_bytes: int = 0) -> Line:
        """To the entry, unless another port is said. ``receive_bytes``: of the kernel's buffer, 0 its own choice."""
        connection = socket.socket()
        if receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port or self.entry))
        except BaseException:
            connection.close()
            raise
        is_tls = self.is_tls and not port and not is_plain
        reader, writer = await asyncio.open_connection(
            sock=connection,
            limit=STREAM_BYTES,
            ssl=trusting() if is_tls else None,
            server_hostname="localhost" if is_tls else None,
        )
        self.seen.connected += 1
        return Line(reader, writer, self.seen)


def trusting() -> ssl.SSLContext:
    """Of a client to whom the certificate does not matter."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(frozen=True)
class Setup:
    """What differs of the node that is attacked. In ``target``: {upstream}, {blackhole} and {entry} are ports."""

    node: Mapping[str, Any] = field(default_factory=dict)
    client: Mapping[str, str] = field(default_factory=dict)
    service: Mapping[str, Any] = field(default_factory=dict)
    upstream: Mapping[str, Any] = field(default_factory=dict)
    target: str = "http://127.0.0.1:{upstream}"
    is_tls: bool = False  # A dedicated instance's entry with TLS, where the victim is, too: a shared one has none.
    descriptors: int | None = None  # that the control process and its workers may have


@dataclass(frozen=True)
class Bound:
    """What was noted by ``name`` is at least, and at most. Not noted at all is 0."""

    name: str
    least: int = 0
    most: int | None = None


Each = Callable[[Ground, int], Awaitable[None]]
Probe = Callable[["Stage"], dict[str, int]]


@dataclass(frozen=True)
class Attack:
    """``each`` is what a connection does, by its number; done again when it ends. ``probe`` looks on meanwhile."""

    name: str
    what: str
    each: Each
    connections: int = 4
    setup: Setup = field(default_factory=Setup)
    probe: Probe | None = None
    bounds: tuple[Bound, ...] = ()
    calls_each_max: int = 1  # that the attacked account may be billed for one request
    kills_worker: bool = False  # the probe does: one death is no fault of the node, and the victim's errors then
