"""Sockets that count what they read, for Locust's users. Imported in Locust's processes only: it needs gevent."""

from __future__ import annotations

from typing import Any, Final

import gevent.socket
from geventhttpclient.client import HTTPClient, HTTPClientPool

from loadtest.compare.recording import Recorder

READ_BLOCK_BYTES: Final = 64 * 1024


class CountingSocket(gevent.socket.socket):  # type: ignore[misc]
    """Counts what it reads, as a gateway counts what it sends."""

    recorder: Recorder

    def recv(self, *arguments: Any) -> bytes:
        data: bytes = super().recv(*arguments)
        self.recorder.read_bytes += len(data)
        return data


def counting_socket(recorder: Recorder, *arguments: Any) -> CountingSocket:
    made = CountingSocket(*arguments)
    made.recorder = recorder
    return made


class CountingPool(HTTPClientPool):
    """Clients of one user over counting sockets."""

    def __init__(self, recorder: Recorder, **options: Any) -> None:
        super().__init__(concurrency=1, block_size=READ_BLOCK_BYTES, **options)
        self._recorder = recorder

    def get_client(self, url: Any) -> HTTPClient:
        client = super().get_client(url)
        # The library's seam for sockets of one's own is this method; TLS wraps it and counts ciphertext.
        pool: Any = client._connection_pool
        pool._create_tcp_socket = lambda *arguments: counting_socket(self._recorder, *arguments)
        return client
