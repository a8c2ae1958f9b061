"""What a connection that does nothing costs the worker, in memory of its own; the kernel's does not count."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from tests.gateway.data_plane import service, worker
from tests.gateway.proxy.origins import answering, origin_of
from tests.gateway.resources.crowd import accepted, connect, crowd, may_open

COUNT = 10_000
KIB_EACH_MAX = 4.0
DESCRIPTORS = COUNT + 1_000
# All of one address, which as a rule has half of a worker's.
PATIENT = {"head_timeout": 120.0, "idle_timeout": 120.0, "address_connections_max": COUNT + 1_000}
# What browsers send; a request's head is held in several forms while it is under way.
LONG_HEAD = b"GET /s/x?%b HTTP/1.1\r\nHost: www.example.com\r\nCookie: %b\r\n\r\n" % (b"q" * 300, b"c" * 1500)


@pytest.mark.parametrize(
    "first, last",
    [
        pytest.param(b"", b"", id="silent ones"),
        pytest.param(LONG_HEAD, b"\r\n\r\nok", id="ones that asked before"),
    ],
)
def test_ten_thousand_idle_connections_take_less_than_4_kib_each(tmp_path: Path, first: bytes, last: bytes) -> None:
    may_open(DESCRIPTORS)
    with (
        origin_of(answering()) as origin,
        worker(tmp_path, service("s", origin.port), **PATIENT) as running,
        crowd(running) as connections,
    ):
        connections += connect(running, 500, first, last)  # what is made once is there
        before = running.resident_kib()
        connections += connect(running, COUNT, first, last)
        accepted(running, COUNT + 500)
        assert (running.resident_kib() - before) / COUNT < KIB_EACH_MAX
        # They are served: the first, the last, and one between.
        for at in (0, COUNT // 2, -1):
            connections[at].sendall(LONG_HEAD)
            assert connections[at].recv(65_536).endswith(b"\r\n\r\nok")


def test_a_worker_may_open_as_many_descriptors_as_the_system_lets_it(tmp_path: Path) -> None:
    """The usual soft limit, 1,024, is one for programs that call select(2); the worker raises its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        with worker(tmp_path) as running:
            found = resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found == (hard, hard)
