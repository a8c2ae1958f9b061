"""The client's certificate: told to upstreams by RFC 9440 where an entry says so, and to the operator in the log."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from gateway.entry.tls import TlsSettings
from tests.certificates import Authority
from tests.gateway.data_plane import Raw, service, worker
from tests.gateway.proxy.test_access_log import wait_for
from tests.gateway.rfc.raw_upstream import RawUpstream

HOST = "api.example.com"
FORGED = "Client-Cert: :Zm9yZ2Vk:"


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    made = RawUpstream()
    yield made
    made.stop()


def entry(authority: Authority, **changes: Any) -> dict[str, Any]:
    pair = authority.issue("server", HOST)
    settings = {"client_ca": str(authority.path), "client_auth": "optional", "client_cert": "forward"} | changes
    return {"tls": asdict(TlsSettings((pair.paths,), **settings))}


@pytest.mark.parametrize("is_trusted", [False, True])
@pytest.mark.parametrize(
    "fields", [[], [FORGED, "Client-Cert-Chain: :Zm9yZ2Vk:"], ["X-Forwarded-For: 10.0.0.1", FORGED]]
)
def test_upstreams_are_told_of_the_certificate_and_of_no_other(
    tmp_path: Path, upstream: RawUpstream, is_trusted: bool, fields: list[str]
) -> None:
    authority = Authority(tmp_path)
    shown = authority.issue("someone")
    trusted = ["127.0.0.0/8"] if is_trusted else []
    log = tmp_path / "access.log"
    made = service("s", upstream.port)
    with worker(tmp_path, made, entry=entry(authority), trusted_proxies=trusted, access_log=log) as running:
        for pair in (shown, None):
            upstream.reset()
            with Raw(running.port, context=authority.client_context(pair), name=HOST) as client:
                for _ in range(2):
                    text = "\r\n".join(["GET /s/x HTTP/1.1", f"Host: {HOST}", *fields, "", ""])
                    assert client.send(text.encode()).answer()[0] == 200
            for seen in upstream.requests:
                wanted = None if pair is None else f":{base64.b64encode(pair.der).decode()}:"
                assert seen.fields.get("client-cert") == wanted
                assert seen.raw.lower().count(b"client-cert:") == (pair is not None)
                assert "client-cert-chain" not in seen.fields
        with_it, _, without, _ = wait_for(log, 4)
        assert with_it["client_subject"] == "CN=someone"
        assert with_it["client_sha256"] == hashlib.sha256(shown.der).hexdigest()
        assert "client_subject" not in without


def test_upstreams_are_told_nothing_unless_the_entry_says_so(tmp_path: Path, upstream: RawUpstream) -> None:
    authority = Authority(tmp_path)
    upstream.reset()
    with worker(tmp_path, service("s", upstream.port), entry=entry(authority, client_cert="drop")) as running:
        context = authority.client_context(authority.issue("someone"))
        with Raw(running.port, context=context, name=HOST) as client:
            text = f"GET /s/x HTTP/1.1\r\nHost: {HOST}\r\n{FORGED}\r\n\r\n"
            assert client.send(text.encode()).answer()[0] == 200
        assert "client-cert" not in upstream.requests[-1].fields
