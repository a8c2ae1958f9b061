"""Exchanges that begin and end while the loop reads once: what was decided last undoes nothing of what came before."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from gateway.entry.tls import TlsSettings
from metering.tcp_info import IS_MEASURED
from tests.certificates import Authority
from tests.gateway.data_plane import Raw, service, worker
from tests.gateway.proxy.origins import OK, origin_of, read_head
from tests.node import origin, until

NOT_FOUND = b"GET /%b/nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ROUTES = [{"id": "list", "methods": ["GET"], "path": "/bytes/{n}", "limit": None}]


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with origin() as port:
        yield port


def to_the_end(connection: socket.socket) -> bytes:
    data = b""
    while more := connection.recv(65536):
        data += more
    return data


def test_a_half_closed_client_gets_what_is_forwarded_and_what_is_refused_after(tmp_path: Path, upstream: int) -> None:
    with worker(tmp_path, service("open", upstream)) as running, Raw(running.port) as client:
        client.send(b"GET /open/bytes/5 HTTP/1.1\r\nHost: x\r\n\r\n" + NOT_FOUND % b"no")
        client.socket.shutdown(socket.SHUT_WR)
        assert [client.answer()[0], client.answer()[0], client.answer()[0]] == [200, 404, 0]


def test_over_tls_a_refusal_leaves_before_the_close_that_came_with_its_request(tmp_path: Path) -> None:
    """Request and close_notify in one segment: the loop closes as soon as it has told of the end."""
    authority = Authority(tmp_path)
    entry = {"tls": asdict(TlsSettings((authority.issue("server", "x").paths,)))}
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with worker(tmp_path, entry=entry) as running, Raw(running.port) as client:
        tls = authority.client_context().wrap_bio(incoming, outgoing, server_hostname="x")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.send(outgoing.read())
                incoming.write(client.socket.recv(65536))
        tls.write(NOT_FOUND % b"no")
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()
        client.send(outgoing.read())
        incoming.write(to_the_end(client.socket))
        assert tls.read(65536).startswith(b"HTTP/1.1 404 ")


def test_what_came_of_an_answer_is_passed_on_before_it_is_cut_short(tmp_path: Path) -> None:
    """Head, a chunk and what is no chunk, in one segment."""

    def serve(connection: socket.socket) -> None:
        while read_head(connection):
            connection.sendall(CHUNKED_HEAD + b"4\r\npart\r\nno chunk\r\n")

    with (
        origin_of(serve) as upstream,
        worker(tmp_path, service("s", upstream.port)) as running,
        Raw(running.port) as client,
    ):
        client.send(b"GET /s/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert to_the_end(client.socket).startswith(b"HTTP/1.1 200 OK\r\n")


def test_what_is_counted_as_sent_to_an_upstream_has_reached_it_though_the_content_is_refused(tmp_path: Path) -> None:
    """Head and what is no chunk, in one segment: forwarding begins, and ends at once."""
    came: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            came.append(data)
            if data.startswith(b"GET "):
                connection.sendall(OK)
        came.append(b"")

    with (
        origin_of(serve) as upstream,
        worker(tmp_path, service("s", upstream.port)) as running,
        Raw(running.port) as client,
    ):
        client.send(b"GET /s/ HTTP/1.1\r\nHost: x\r\n\r\n").answer()  # A connection rests now.
        client.send(b"POST /s/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n")
        assert client.answer()[0] == 400
        until(lambda: came[-1] == b"", "the upstream's connection ends", 5)
        assert b"".join(came).count(b"POST / HTTP/1.1\r\n") == 1
        assert running.counts()["s"]["egress:backend:vpc:application"] == len(b"".join(came))


@pytest.mark.skipif(not IS_MEASURED, reason="the kernel has no TCP_INFO with bytes sent")
def test_answers_to_requests_of_one_segment_are_each_services_own_on_the_wire(tmp_path: Path, upstream: int) -> None:
    services = [service(id, upstream, routes=ROUTES) for id in "ab"]
    with worker(tmp_path, *services) as running:
        with Raw(running.port) as client:
            client.send((NOT_FOUND % b"a" + NOT_FOUND % b"b") * 20)
            assert [client.answer()[0] for _ in range(40)] == [404] * 40
        running.drain()
        counts = running.counts()
    for id in "ab":
        application, wire = (counts[id][f"egress:refused:internet:{basis}"] for basis in ("application", "wire"))
        assert application <= wire <= 1.5 * application
