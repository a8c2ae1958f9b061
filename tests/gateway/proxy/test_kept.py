"""A request with content whose connection was closed under it is sent again, where that cannot do a thing twice."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from gateway.proxy.kept import KEPT_BYTES_MAX, KeptContent
from tests.gateway.data_plane import Raw, service, worker
from tests.gateway.proxy.origins import OK, origin_of
from tests.node import until

LINE = b" /s/x HTTP/1.1\r\nHost: x\r\n"


def test_what_is_kept_has_a_bound() -> None:
    kept = KeptContent()
    kept.add(bytes(KEPT_BYTES_MAX))
    assert kept.pieces == [bytes(KEPT_BYTES_MAX)]
    kept.add(b"x")
    assert kept.pieces is None
    kept.add(b"x")
    assert kept.pieces is None


class Closing:
    """Answers the first request of a connection, and closes it on the second, when all of that has come."""

    def __init__(self) -> None:
        self.contents: list[bytes] = []
        self._lock = threading.Lock()

    def __call__(self, connection: socket.socket) -> None:
        for is_answered in (True, False):
            content = self._read(connection)
            if content is None:
                return
            with self._lock:
                self.contents.append(content)
            if is_answered:
                connection.sendall(OK)

    def _read(self, connection: socket.socket) -> bytes | None:
        with connection.makefile("rb") as file:
            if not file.readline():
                return None
            fields = {}
            while (line := file.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                fields[name.lower()] = value.strip()
            if b"transfer-encoding" not in fields:
                return file.read(int(fields.get(b"content-length", b"0")))
            content = b""
            while size := int(file.readline(), 16):
                content += file.read(size)
                file.readline()
            file.readline()
            return content


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunks"])
@pytest.mark.parametrize(
    "method, size, retries, status",
    [
        pytest.param(b"PUT", 2, 1, 200, id="put"),
        pytest.param(b"DELETE", 2, 1, 200, id="delete"),
        pytest.param(b"PUT", 60_000, 1, 200, id="put of 60 kB"),
        pytest.param(b"PUT", 200_000, 1, 502, id="more than is kept"),
        pytest.param(b"POST", 2, 1, 502, id="post may do a thing twice"),
        pytest.param(b"PUT", 2, 0, 502, id="no retries"),
    ],
)
def test_idempotent_requests_are_sent_again_with_their_content(
    tmp_path: Path, is_chunked: bool, method: bytes, size: int, retries: int, status: int
) -> None:
    serve, content = Closing(), bytes(range(256)) * (size // 256) + bytes(size % 256)
    framed = b"Content-Length: %d\r\n\r\n%b" % (size, content)
    if is_chunked:
        framed = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (size, content)
    with (
        origin_of(serve) as origin,
        worker(tmp_path, service("s", origin.port, upstream={"retries": retries})) as running,
        Raw(running.port) as client,
    ):
        assert client.send(b"GET" + LINE + b"\r\n").answer()[0] == 200
        assert client.send(method + LINE + framed).answer()[0] == status
        assert serve.contents == [b"", content, *([content] if status == 200 else [])]


def test_content_that_still_comes_goes_on_with_what_was_kept(tmp_path: Path) -> None:
    """The connection is lost in the middle of it."""
    seen: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        data = b""
        while more := connection.recv(65_536):
            data += more
            if data.endswith(b"first") and len(seen) == 0:
                seen.append(data)
                return
            if data.endswith(b"second"):
                seen.append(data)
                connection.sendall(OK)
                return

    with (
        origin_of(serve) as origin,
        worker(tmp_path, service("s", origin.port)) as running,
        Raw(running.port) as client,
    ):
        client.send(b"PUT" + LINE + b"Content-Length: 11\r\n\r\nfirst")
        until(lambda: len(origin.peers) == 2, "the second connection")
        assert client.send(b"second").answer()[0] == 200
        assert seen[1].endswith(b"\r\n\r\nfirstsecond")
