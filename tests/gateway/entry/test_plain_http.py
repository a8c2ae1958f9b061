"""Plain HTTP on a port that speaks TLS: refused in words that the client reads, and served by no means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from gateway.entry.tls import TlsSettings
from tests.certificates import Authority
from tests.gateway.data_plane import Raw, service, worker
from tests.gateway.entry.test_proxy_protocol import TCP4, header
from tests.gateway.proxy.test_access_log import get, wait_for
from tests.node import origin


@pytest.fixture
def upstream() -> Iterator[int]:
    with origin() as port:
        yield port


@pytest.mark.parametrize("is_proxied", [False, True])
def test_it_is_told_so_and_never_served(tmp_path: Path, upstream: int, is_proxied: bool) -> None:
    log = tmp_path / "access.log"
    pair = Authority(tmp_path).issue("server", "localhost")
    entry: dict[str, Any] = {"tls": asdict(TlsSettings((pair.paths,))), "proxy_protocol": is_proxied}
    first = header(0x21, 0x11, TCP4) if is_proxied else b""
    with worker(tmp_path, service("s", upstream), entry=entry, access_log=log) as running:
        with Raw(running.port) as client:
            status, fields, content = client.send(first + get("/s/bytes/1?token=secret")).answer()
            assert (status, fields["connection"]) == (400, "close")
            assert json.loads(content)["detail"] == "plain HTTP on a port that speaks TLS"
            assert client.rest() == b""
        (line,) = wait_for(log, 1)
        assert (line["method"], line["path"], line["service"]) == ("GET", "/s/bytes/1", "-")
        assert line["detail"] == "plain HTTP on a port that speaks TLS"
        assert "secret" not in log.read_text()
        counts = running.counts()
        assert counts["-"]["frontend_error:bad_request"] == 1
        assert counts["-"]["ingress"] == line["bytes_in"]
        assert not counts.get("s")


def test_what_is_neither_goes_by_the_handshake(tmp_path: Path, upstream: int) -> None:
    pair = Authority(tmp_path).issue("server", "localhost")
    entry = {"tls": asdict(TlsSettings((pair.paths,)))}
    with worker(tmp_path, service("s", upstream), entry=entry) as running:
        with Raw(running.port) as client:
            assert not client.send(b"\x00\x01\x02 nonsense").rest().startswith(b"HTTP")
        assert "frontend_error:bad_request" not in running.counts().get("-", {})
