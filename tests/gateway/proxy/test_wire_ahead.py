"""What is counted ahead of the kernel's figures, and what a reading makes of it: real connections over loopback."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.proxy.outbox import Outbox
from gateway.proxy.wire import Wire
from metering.cells import egress_cell
from metering.clock import VirtualClock
from metering.meter import Meter
from metering.tcp_info import IPV4_HEADERS_BYTES as HEADERS
from metering.tcp_info import IS_MEASURED
from tests.node import until

pytestmark = pytest.mark.skipif(not IS_MEASURED, reason="the kernel has no TCP_INFO with bytes sent")

NO_LOOP = asyncio.new_event_loop()  # of an outbox in which nothing is put
NO_LOOP.close()
CELL = egress_cell("client", "internet", "application")
WIRE_CELL = egress_cell("client", "internet", "wire")
QUICK_NS, SLOW_NS = 39_000_000, 41_000_000  # before and after what came is acknowledged by itself


class Transport:
    """What of a transport is asked: nothing is held before the kernel."""

    def __init__(self, connection: socket.socket) -> None:
        self._known: dict[str, Any] = {"socket": connection, "peername": connection.getpeername()}

    def get_extra_info(self, name: str) -> Any:
        return self._known.get(name)

    def get_write_buffer_size(self) -> int:
        return 0


class Link:
    """A metered connection, its other end, and services that take turns on it."""

    def __init__(self, meter: Meter) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.peer = socket.create_connection(listener.getsockname())
            self.ours, _ = listener.accept()
        for end in (self.ours, self.peer):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._meter = meter
        self.rows = [meter.row("a", "i", "r", service) for service in "abc"]
        self.wire = Wire(meter, CELL, Outbox(NO_LOOP))
        self.wire.begin(Transport(self.ours))
        self.now_ns = 1

    def turn_to(self, service: int, after_ns: int = QUICK_NS) -> None:
        self.now_ns += after_ns
        self.wire.turn_to(self.rows[service], self.now_ns)

    def write(self, size: int) -> None:
        self._meter.cells[self.wire.row + CELL] += size
        self.wire.hand_over(size)
        self.ours.sendall(bytes(size))

    def exchange(self, service: int, size: int = 100, after_ns: int = QUICK_NS) -> None:
        """A request comes, and is answered with so many bytes, which are read."""
        self.peer.sendall(b"request")
        assert len(self.ours.recv(7, socket.MSG_WAITALL)) == 7
        self.turn_to(service, after_ns)
        self.write(size)
        assert len(self.peer.recv(size, socket.MSG_WAITALL)) == size

    def turning(self) -> None:
        """The handshake is counted, and the connection has turned: small writes are counted ahead."""
        self.exchange(0)
        self.exchange(1)

    def by_kernel(self) -> int:
        info = self.ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
        (sent_bytes,) = struct.unpack_from("<Q", info, 200)
        return int(sent_bytes) + self.segments() * HEADERS

    def segments(self) -> int:
        (segments,) = struct.unpack_from("<I", self.ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 144), 136)
        return int(segments)

    def counted(self, *services: int) -> int:
        return sum(self._meter.cells[self.rows[service] + WIRE_CELL] for service in services or (0, 1, 2))

    def application_bytes(self, service: int) -> int:
        return self._meter.cells[self.rows[service] + CELL]

    def is_counted_as_sent(self) -> bool:
        self.wire.count(is_at_rest=False)
        return self.counted() == self.by_kernel()

    def cork(self, value: int) -> None:
        self.ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, value)

    def acknowledgement(self) -> None:
        """Makes ours send one that carries nothing."""
        before = self.segments()
        self.peer.sendall(b"bytes that nothing is sent for")
        until(lambda: self.segments() > before, "an acknowledgement by itself", 5)


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Link]:
    meter = Meter(tmp_path / "counters", "n:t:0", VirtualClock())
    link = Link(meter)
    yield link
    link.wire.end(link.rows[0])
    link.ours.close()
    link.peer.close()
    meter.close()


def test_a_small_write_is_counted_with_its_bytes(link: Link) -> None:
    link.turning()
    before = link.counted(2)
    link.turn_to(2)
    link.write(100)
    assert link.counted(2) - before == 100 + HEADERS
    link.write(50)
    assert link.counted(2) - before == 150 + 2 * HEADERS


def test_what_takes_segments_that_are_not_known_is_read(link: Link) -> None:
    link.turning()
    link.turn_to(2)
    link.write(1449)
    assert link.counted(2) == 0
    link.turn_to(0)
    assert link.counted(2) >= 1449 + HEADERS, "read at its end"


def test_one_service_alone_is_read(link: Link) -> None:
    """Whatever the kernel makes of its writes is what is counted, each second."""
    for _ in range(5):
        link.exchange(0)
    assert link.counted() == 0
    assert link.is_counted_as_sent()
    link.exchange(1)
    link.wire.count(is_at_rest=False)
    before = link.counted()
    link.exchange(1)
    assert link.counted() - before == 100 + HEADERS, "it has turned in this second"
    link.wire.count(is_at_rest=False)
    before = link.counted()
    link.exchange(1)
    assert link.counted() == before, "and not in this one"


@pytest.mark.parametrize("seed", range(12))
def test_whatever_moves_the_sum_is_the_kernels(link: Link, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(300):
        size = dice.choice((1, 5, 100, 900, 1448, 1449, 40_000))
        link.exchange(dice.randrange(3), size, dice.choice((1_000, QUICK_NS, SLOW_NS)))
        if dice.random() < 0.05:
            link.wire.count(is_at_rest=dice.random() < 0.5)
    until(link.is_counted_as_sent, "the sum of all services is what the kernel sent", 5)
    for service in range(3):
        assert link.counted(service) >= link.application_bytes(service)


def test_joined_writes_come_off_what_follows(link: Link) -> None:
    link.turning()
    assert link.is_counted_as_sent()
    link.exchange(2)  # counted ahead, as it has turned
    link.cork(1)
    for service in (0, 1, 2):
        link.turn_to(service)
        link.write(100)
    link.cork(0)  # one segment for three
    assert len(link.peer.recv(300, socket.MSG_WAITALL)) == 300
    before = [link.counted(service) for service in range(3)]
    link.wire.count(is_at_rest=False)
    assert link.counted() == link.by_kernel() + 2 * HEADERS
    assert [link.counted(service) for service in range(3)] == before, "counts only rise"
    for service in (0, 1, 2):
        link.exchange(service)
    assert link.is_counted_as_sent()
    for service in range(3):
        assert link.counted(service) >= link.application_bytes(service)


@pytest.mark.parametrize(("after_ns", "is_its_own"), [(SLOW_NS, True), (QUICK_NS, False)])
def test_an_acknowledgement_by_itself_is_of_who_took_so_long(link: Link, after_ns: int, is_its_own: bool) -> None:
    link.turning()
    link.exchange(2)
    before = link.counted(2)
    link.acknowledgement()
    link.turn_to(0, after_ns)
    assert link.counted(2) - before == (HEADERS if is_its_own else 0)
    assert link.is_counted_as_sent(), "it is somebody's"


def test_behind_what_is_unsent_nothing_is_counted_ahead(link: Link) -> None:
    """The kernel may join it to that."""
    link.turning()
    link.cork(1)
    link.turn_to(2)
    link.wire.expect_bulk()
    link.write(100)
    link.turn_to(0)
    before = link.counted(0)
    link.write(100)
    assert link.counted(0) == before
    link.cork(0)
    link.turn_to(1)
    assert link.counted(0) - before == 100 + HEADERS, "one segment for both"
    assert link.counted() == link.by_kernel()


@pytest.mark.parametrize("is_ahead", [True, False])
def test_what_is_unsent_at_the_end_has_one_header(link: Link, is_ahead: bool) -> None:
    link.turning()
    link.turn_to(2)
    if not is_ahead:
        link.wire.expect_bulk()
    link.cork(1)
    link.write(100)
    link.wire.end(link.rows[0])
    assert link.counted(2) == 100 + HEADERS


def test_a_connection_that_broke_keeps_what_was_counted(link: Link) -> None:
    link.turning()
    link.turn_to(2)
    link.write(100)
    link.ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    before = link.counted()
    link.ours.close()
    link.turn_to(0, SLOW_NS)
    link.wire.count(is_at_rest=True)
    assert link.counted() == before
