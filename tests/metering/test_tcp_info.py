"""Readings of a connection's counters, on a descriptor that is somebody else's."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from metering.tcp_info import IS_MEASURED, Reading, headers_bytes
from tests.node import until

pytestmark = pytest.mark.skipif(not IS_MEASURED, reason="the kernel has no TCP_INFO with bytes sent")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as one:
        other, _ = listener.accept()
        with other:
            yield one, other


def counters(reading: Reading) -> tuple[int, int, int, int]:
    found = reading.read()
    assert found is not None
    return found


def read_and_end(connection: socket.socket) -> tuple[int, int, int, int]:
    """The counters once all is acknowledged; the reading is gone when this returns."""
    reading = Reading(connection.family, connection.fileno(), outlives_it=False)
    until(lambda: counters(reading)[0] == 0, "all of it is acknowledged")
    found = counters(reading)
    reading.end()
    assert reading.read() is None
    return found


def test_it_reads_what_was_sent_and_leaves_the_descriptor_open(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    one.sendall(b"x" * 1000)
    assert other.recv(4096) == b"x" * 1000
    _, segments, unsent_bytes, payload_bytes = read_and_end(one)
    assert (unsent_bytes, payload_bytes) == (0, 1000)
    assert segments >= 2, "an acknowledgement of the handshake, and the data"
    one.sendall(b"still open")
    assert other.recv(4096) == b"still open"


def test_it_may_outlive_the_descriptor(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    reading = Reading(one.family, one.fileno(), outlives_it=True)
    one.sendall(b"x" * 10)
    one.close()
    assert counters(reading)[3] == 10
    reading.end()
    other.settimeout(10)
    assert other.recv(4096) == b"x" * 10
    assert other.recv(4096) == b"", "its duplicate is closed too"


def test_a_descriptor_that_is_none_is_an_error_and_what_is_not_tcp_has_no_counters() -> None:
    left, right = socket.socketpair()
    with left, right:
        reading = Reading(left.family, left.fileno(), outlives_it=False)
        assert reading.read() is None
        reading.end()
        closed = os.dup(left.fileno())
        os.close(closed)
        with pytest.raises(OSError):
            Reading(socket.AF_INET, closed, outlives_it=True)


@pytest.mark.parametrize(
    "family, address, size",
    [
        (socket.AF_INET, "10.0.0.1", 40),
        (socket.AF_INET6, "2001:db8::1", 60),
        (socket.AF_INET6, "::ffff:10.0.0.1", 40),
    ],
)
def test_headers_are_those_on_the_wire(family: int, address: str, size: int) -> None:
    assert headers_bytes(family, address) == size
