"""An upstream that refuses an upload answers and closes; what it said reaches the client, and is no failure of it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.gateway.data_plane import Raw, WorkerProcess, instance, service, worker
from tests.gateway.proxy.origins import Origin, Serve, origin_of, read_head
from tests.node import until

TIMES = 50
BYTES = 2_000_000
PIECE = bytes(20_000)
REFUSAL = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nfull"
CHUNKED = b"HTTP/1.1 413 Content Too Large\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfull\r\n0\r\n\r\n"
LEAVES = b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfull"
OLD = b"HTTP/1.0 200 OK\r\n\r\nfull"
BY_LENGTH = b"POST /s/x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % BYTES
IN_CHUNKS = b"POST /s/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def refusing(answer: bytes) -> Serve:
    """Answers as soon as the head is there, and closes on what is still coming, which resets the connection."""

    def serve(connection: socket.socket) -> None:
        # Else what is held back until the tickets of the handshake are acknowledged is never sent.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        read_head(connection)
        connection.sendall(answer)
        if isinstance(connection, ssl.SSLSocket):
            with suppress(OSError):  # What comes is not what it waits for; its part has been sent.
                connection.setblocking(False)
                connection.unwrap()

    return serve


def server_context(folder: Path) -> tuple[ssl.SSLContext, dict[str, Any]]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context, {
        "verify": True,
        "ca": str(folder / "ca.pem"),
        "server_name": None,
        "certificate": None,
        "key": None,
    }


@contextmanager
def in_front_of(folder: Path, serve: Serve, *, is_tls: bool, **upstream: Any) -> Iterator[tuple[WorkerProcess, Origin]]:
    context, tls = server_context(folder) if is_tls else (None, None)
    with origin_of(serve, tls=context) as origin:
        scheme = "https" if is_tls else "http"
        target = {"url": f"{scheme}://127.0.0.1:{origin.port}", "weight": 1, "network": "vpc"}
        settings: dict[str, Any] = {"targets": [target], "retries": 0} | upstream
        if tls:
            settings["tls"] = tls
        document = service("s", 0, upstream=settings)
        with worker(folder, document, one=instance(body_max=1 << 30), body_timeout=10.0) as running:
            yield running, origin


def upload(port: int, head: bytes) -> tuple[int, bytes]:
    """An answer's status and content; the content of the request goes on until nobody takes it."""
    with Raw(port) as client:
        client.send(head)

        def send() -> None:
            with suppress(OSError):
                for _ in range(BYTES // len(PIECE)):
                    client.send(PIECE if head is BY_LENGTH else b"%x\r\n%b\r\n" % (len(PIECE), PIECE))

        sending = threading.Thread(target=send)
        sending.start()
        status, _, content = client.answer()
        with suppress(OSError):
            client.socket.shutdown(socket.SHUT_RDWR)
        sending.join()
    return status, content


@pytest.mark.parametrize("is_tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("head", [BY_LENGTH, IN_CHUNKS], ids=["length", "chunks"])
@pytest.mark.parametrize(
    "answer, status",
    [
        pytest.param(REFUSAL, 413, id="413"),
        pytest.param(CHUNKED, 413, id="413 in chunks"),
        pytest.param(LEAVES, 401, id="401 and close"),
    ],
)
def test_the_answer_that_an_upload_was_refused_with_is_passed_on(
    tmp_path: Path, is_tls: bool, head: bytes, answer: bytes, status: int
) -> None:
    times = TIMES if answer is REFUSAL else TIMES // 5
    with in_front_of(tmp_path, refusing(answer), is_tls=is_tls) as (running, _):
        found = [upload(running.port, head) for _ in range(times)]
        assert found == [(status, b"full")] * times
        counts = running.counts()["s"]
        assert {name for name in counts if name.startswith("backend_error")} == {"backend_error:backend_4xx"}


def test_a_target_that_refuses_uploads_is_not_ejected(tmp_path: Path) -> None:
    with origin_of(refusing(REFUSAL)) as one, origin_of(refusing(REFUSAL)) as other:
        targets = [{"url": f"http://127.0.0.1:{at.port}", "weight": 1, "network": "vpc"} for at in (one, other)]
        with worker(
            tmp_path, service("s", 0, upstream={"targets": targets}), one=instance(body_max=1 << 30)
        ) as running:
            for _ in range(40):
                assert upload(running.port, BY_LENGTH)[0] == 413
            assert "ejected" not in running.log.read_text()


def test_who_resets_without_an_answer_is_a_502(tmp_path: Path) -> None:
    with in_front_of(tmp_path, refusing(b""), is_tls=False) as (running, _):
        assert upload(running.port, BY_LENGTH)[0] == 502


def test_half_an_answer_is_no_answer(tmp_path: Path) -> None:
    with in_front_of(tmp_path, refusing(REFUSAL[:20]), is_tls=False) as (running, _):
        assert {upload(running.port, BY_LENGTH)[0] for _ in range(10)} == {502}


# What has no length ends by the close: by which one?


def ending(end: str) -> Serve:
    def serve(connection: socket.socket) -> None:
        if not read_head(connection):
            return
        connection.sendall(OLD)
        if end == "close_notify" and isinstance(connection, ssl.SSLSocket):
            with suppress(OSError):
                connection.unwrap()
        elif end == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    return serve


ENDS = [
    pytest.param(True, "close_notify", True, id="tls ends"),
    pytest.param(True, "fin", False, id="tls is cut off"),
    pytest.param(True, "reset", False, id="tls is reset"),
    pytest.param(False, "fin", True, id="tcp ends"),
    pytest.param(False, "reset", False, id="tcp is reset"),
]


@pytest.mark.parametrize("is_tls, end, is_whole", ENDS)
def test_content_until_the_close_is_whole_where_its_end_was_said(
    tmp_path: Path, is_tls: bool, end: str, is_whole: bool
) -> None:
    """RFC 9112 9.8: without a close_notify it may have been cut off by anybody. The client is to see as much."""
    with in_front_of(tmp_path, ending(end), is_tls=is_tls) as (running, _):
        for _ in range(10):
            with Raw(running.port) as client:
                client.send(b"GET /s/x HTTP/1.1\r\nHost: x\r\n\r\n")
                status, fields = client.head()
                if status == 502 and end == "reset":
                    continue  # It overtook the answer.
                assert (status, fields["transfer-encoding"]) == (200, "chunked")
                assert (client.rest() == b"4\r\nfull\r\n0\r\n\r\n") == is_whole if is_whole else True
                if not is_whole:
                    assert b"0\r\n\r\n" not in client.rest()


@pytest.mark.parametrize("is_tls, end, is_whole", ENDS)
def test_a_client_of_http_1_0_sees_it_too(tmp_path: Path, is_tls: bool, end: str, is_whole: bool) -> None:
    with in_front_of(tmp_path, ending(end), is_tls=is_tls) as (running, _):
        for _ in range(10):
            with Raw(running.port) as client:
                client.send(b"GET /s/x HTTP/1.0\r\nHost: x\r\n\r\n")
                if is_whole:
                    assert client.rest().endswith(b"\r\n\r\nfull")
                    continue
                with suppress(ConnectionResetError):
                    assert b"502" in client.rest()[:20], "it ended as if it were whole"


def test_what_came_over_tls_is_read_to_its_end_though_the_client_reads_late(tmp_path: Path) -> None:
    """While we do not read, the loop must not read on to the end of the connection, and drop what it holds by then."""
    size = 30_000_000

    def serve(connection: socket.socket) -> None:
        if read_head(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            connection.sendall(bytes(size))
            assert isinstance(connection, ssl.SSLSocket)
            with suppress(OSError):
                connection.unwrap()

    with (
        in_front_of(tmp_path, serve, is_tls=True) as (running, origin),
        Raw(running.port, receive_bytes=4096) as client,
    ):
        client.send(b"GET /s/x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.head()[0] == 200
        read = 0
        while read < size:
            length = int(client._line(), 16)
            assert length, "it ended too soon"
            client._exactly(length + 2)
            read += length
        assert client.rest() == b"0\r\n\r\n"
        until(lambda: not origin.connections, "the origin has closed")
