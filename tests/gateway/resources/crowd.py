"""Connections by the thousand, in the test's own process."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.gateway.data_plane import WorkerProcess
from tests.node import until


def may_open(descriptors: int) -> None:
    """Raises this process's limit of open files, as far as it may go; skips where that is not far enough."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < descriptors:
        pytest.skip(f"{descriptors} descriptors are needed, and the system's limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def crowd(running: WorkerProcess) -> Iterator[list[socket.socket]]:
    """To put connections into; all are closed in the end."""
    connections: list[socket.socket] = []
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


def connect(running: WorkerProcess, count: int, first: bytes = b"", last: bytes = b"") -> list[socket.socket]:
    """Connections that each sent ``first``, and read an answer up to ``last`` where one is named."""
    made = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", running.port), timeout=20)
        made.append(connection)
        if first:
            connection.sendall(first)
        if last:
            answer = b""
            while not answer.endswith(last):
                more = connection.recv(65_536)
                assert more, answer
                answer += more
    return made


def accepted(running: WorkerProcess, count: int) -> None:
    """Waits until the worker holds at least this many descriptors."""
    folder = Path(f"/proc/{running.process.pid}/fd")
    until(lambda: sum(1 for _ in folder.iterdir()) >= count, f"{count} descriptors in the worker")
