"""A client, a real worker and a raw upstream, and the claims that most cases make of the three."""

from __future__ import annotations

import json
import socket

from tests.gateway.data_plane import Raw, WorkerProcess
from tests.gateway.rfc.raw_upstream import RawUpstream, Seen

SENTINEL = b"GET /a/sentinel HTTP/1.1\r\nHost: x\r\n\r\n"
CODES = {400: "bad_request", 413: "body_too_large", 414: "uri_too_long", 431: "head_too_large", 501: "not_implemented"}


def head(*fields: bytes, line: bytes = b"GET /a/x HTTP/1.1", host: bytes | None = b"Host: x") -> bytes:
    """A head with a Host, if none else is given."""
    lines = [line, *([host] if host is not None else []), *fields]
    return b"".join(field + b"\r\n" for field in lines) + b"\r\n"


def post(*fields: bytes, content: bytes = b"", line: bytes = b"POST /a/x HTTP/1.1") -> bytes:
    return head(*fields, line=line) + content


class Conversation:
    """``upstream`` is behind every service of ``worker``."""

    def __init__(self, worker: WorkerProcess, upstream: RawUpstream) -> None:
        self.worker = worker
        self.upstream = upstream

    def client(self) -> Raw:
        client = Raw(self.worker.port)
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def sentinel(self) -> None:
        """A request of its own, after which everything sent before it has been seen."""
        with self.client() as client:
            assert client.send(SENTINEL).answer()[2] == b"ok"

    def refuses(self, data: bytes, status: int = 400) -> None:
        """One answer, a close, and not a byte to the upstream."""
        with self.client() as client:
            found, fields, content = client.send(data).answer()
            assert (found, fields["connection"]) == (status, "close")
            assert json.loads(content)["type"] == f"urn:tollgate:{CODES[status]}"
            assert client.rest() == b"", "more than one answer"
        self.sentinel()
        assert [seen.start for seen in self.upstream.requests] == [b"GET /sentinel"], self.upstream.raw

    def passes(self, data: bytes, status: int = 200) -> Seen:
        """Exactly one request reaches the upstream, and is answered; returned as the upstream saw it."""
        with self.client() as client:
            assert client.send(data).answer()[0] == status
        self.sentinel()
        assert len(self.upstream.requests) == 2, self.upstream.raw
        seen = self.upstream.requests[0]
        assert seen.is_whole
        return seen
