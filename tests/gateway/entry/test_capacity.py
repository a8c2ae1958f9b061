"""Descriptors run out: who has them goes on, the worker lives, and who asks gets in (kind: exhaustion)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from gateway.proxy.capacity import ENCRYPTED, PLAIN, SPARE_DESCRIPTORS, Capacity
from tests.certificates import Authority
from tests.gateway.data_plane import Raw, service, worker
from tests.gateway.entry.test_entry import HOST, entry
from tests.gateway.entry.test_proxied_entry import FROM_203, PROXIED, is_closed
from tests.node import origin, until

FEW = 300
ONE = ipaddress.ip_address("192.0.2.1")
GET = b"GET /open/bytes/3 HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
POST = b"POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
ROOM = Capacity(descriptors=FEW).clients_max
PATIENT = {"head_timeout": 60.0, "idle_timeout": 60.0}  # Nobody goes for any other reason.


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with origin() as port:
        yield port


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def silent(held: ExitStack, port: int, count: int) -> list[socket.socket]:
    return [held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(count)]


def test_more_silent_connections_than_there_are_descriptors_end_nothing(tmp_path: Path, upstream: int) -> None:
    """A worker died 14 times in 20 s by 400 of them: its hour could not turn."""
    # A clock on which an hour is half a second: files are opened all the time.
    clock = {"rate": 7200.0, "real_anchor": 0.0, "virtual_anchor": 0.0}
    with (
        worker(tmp_path, service("open", upstream), descriptors=FEW, clock=clock, **PATIENT) as running,
        Raw(running.port) as known,
        ExitStack() as held,
    ):
        assert known.send(GET).answer()[0] == 200
        silent(held, running.port, 400)
        hours = set((tmp_path / "counters").iterdir())
        for _ in range(20):
            assert known.send(GET).answer()[0] == 200
        until(lambda: len(set((tmp_path / "counters").iterdir()) - hours) >= 3, "hours turn")
        for _ in range(5):  # Who comes new gets in, though the others stay.
            with Raw(running.port) as fresh:
                assert fresh.send(GET).answer()[0] == 200
        assert known.send(GET).answer()[0] == 200
        assert running.process.poll() is None
        assert descriptors(running.process.pid) <= FEW - SPARE_DESCRIPTORS / 2
        running.drain()
        counts = running.counts()
        assert counts["-"]["connections:made_room"] > 0
        assert "Too many open files" not in running.log.read_text()


def test_silent_tls_connections_make_room_too(tmp_path: Path, upstream: int) -> None:
    authority = Authority(tmp_path)
    pair = entry(authority.issue("server", HOST))
    trusting = authority.client_context()
    with (
        worker(tmp_path, service("open", upstream), descriptors=FEW, entry=pair, **PATIENT) as running,
        Raw(running.port, context=trusting, name=HOST) as known,
        ExitStack() as held,
    ):
        assert known.send(GET).answer()[0] == 200
        silent(held, running.port, 400)
        with Raw(running.port, context=trusting, name=HOST) as fresh:
            assert fresh.send(GET).answer()[0] == 200
        assert known.send(GET).answer()[0] == 200
        assert running.process.poll() is None
        assert descriptors(running.process.pid) <= FEW - SPARE_DESCRIPTORS / 2


@pytest.mark.parametrize(
    "is_tls, said",
    [
        pytest.param(False, b"", id="nothing"),
        pytest.param(True, b"", id="nothing, with TLS"),
        pytest.param(True, FROM_203, id="no hello"),
        pytest.param(True, FROM_203 + b"\x16\x03\x01\x02", id="a part of a hello"),
    ],
)
def test_silent_connections_behind_the_proxy_protocol_make_room_too(
    tmp_path: Path, upstream: int, is_tls: bool, said: bytes
) -> None:
    """As many as have room kept all others out until their time was over."""
    authority = Authority(tmp_path)
    pair = entry(authority.issue("server", HOST)) if is_tls else {}
    context = authority.client_context() if is_tls else None
    with (
        worker(tmp_path, service("open", upstream), descriptors=FEW, entry=pair | PROXIED, **PATIENT) as running,
        ExitStack() as held,
    ):
        for one in silent(held, running.port, 2 * ROOM):
            with suppress(OSError):  # It has given way.
                one.sendall(said)
        with Raw(running.port, FROM_203, context, HOST) as fresh:
            assert fresh.send(GET).answer()[0] == 200
        assert running.process.poll() is None
        assert descriptors(running.process.pid) <= FEW - SPARE_DESCRIPTORS / 2


def test_one_address_has_half_of_them_at_the_most(tmp_path: Path, upstream: int) -> None:
    with (
        worker(tmp_path, service("open", upstream), descriptors=FEW, **PATIENT) as running,
        ExitStack() as held,
    ):
        # Each with a request under way, so that none gives way.
        for _ in range(ROOM // 2):
            client = held.enter_context(Raw(running.port))
            assert client.send(POST).answer()[0] == 100
        with Raw(running.port) as beyond:
            assert is_closed(beyond)
        other = held.enter_context(socket.socket())
        other.bind(("127.0.0.7", 0))
        other.settimeout(10)
        other.connect(("127.0.0.1", running.port))
        other.sendall(GET)
        assert other.recv(100).startswith(b"HTTP/1.1 200")
        running.drain()
        assert running.counts()["-"]["connections:address_limit"] == 1


def test_upstream_connections_have_their_bound_and_those_at_rest_give_way(tmp_path: Path) -> None:
    """Each of many services with a target of its own leaves one at rest."""
    with ExitStack() as held:
        ports = [held.enter_context(origin()) for _ in range(3)]
        services = [service(f"s{n}", ports[n % 3], upstream={"egress_ip": None}) for n in range(ROOM + 20)]
        for n, one in enumerate(services):
            # An address of its own each, so that none shares another's connection.
            one["upstream"]["targets"] = [
                {"url": f"http://127.0.{n // 200}.{n % 200 + 1}:{ports[n % 3]}", "weight": 1, "network": "vpc"}
            ]
        with worker(tmp_path, *services, descriptors=FEW, **PATIENT) as running, Raw(running.port) as client:
            for n in range(len(services)):
                client.send(b"GET /s%d/bytes/3 HTTP/1.1\r\nHost: a\r\n\r\n" % n)
                assert client.answer()[0] in (200, 502), n
            assert running.process.poll() is None
            assert descriptors(running.process.pid) <= FEW - SPARE_DESCRIPTORS


@pytest.mark.parametrize("descriptors, most", [(10, 48), (300, 177), (1024, 720), (20_000, 14_952)])
def test_three_quarters_of_the_descriptors_beyond_the_spare_ones_are_clients(descriptors: int, most: int) -> None:
    capacity = Capacity(descriptors=descriptors)
    assert capacity.clients_max == most
    assert capacity.takes_client(0, PLAIN, most - 1)
    assert not capacity.takes_client(0, PLAIN, most)
    assert capacity.takes_client(0, ENCRYPTED, most // 2 - 1)
    assert not capacity.takes_client(0, ENCRYPTED, most // 2)


def test_what_upstreams_have_clients_have_not() -> None:
    capacity = Capacity(descriptors=364)
    capacity.upstreams = 250
    assert capacity.takes_client(0, PLAIN, 49)
    assert not capacity.takes_client(0, PLAIN, 50)
    assert capacity.takes_upstream(49)
    assert not capacity.takes_upstream(50)


def test_settings_may_only_lower_them() -> None:
    capacity = Capacity(20, 3, descriptors=300)
    assert capacity.takes_client(19, PLAIN, 0)
    assert not capacity.takes_client(20, PLAIN, 0)
    for _ in range(3):
        assert not capacity.is_at_most(ONE, PLAIN)
        capacity.enter(ONE, PLAIN)
    assert capacity.is_at_most(ONE, PLAIN)
    capacity.leave(ONE, PLAIN)
    assert not capacity.is_at_most(ONE, PLAIN)
    assert not Capacity(10_000, descriptors=300).takes_client(177, PLAIN, 1000)
