"""TLS to upstreams: verified and named by default, over real handshakes."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from gateway.proxy.upstream_tls import TlsContexts
from tests.gateway.data_plane import Raw, WorkerProcess, instance, service, worker
from tests.gateway.proxy.origins import Origin, answering, origin_of


class Authority:
    """A certificate authority, its file, and servers with its certificates."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.path = str(folder / "ca.pem")
        self.ca.cert_pem.write_to_path(self.path)

    @contextmanager
    def origin(self, *names: str, asks: bool = False) -> Iterator[Origin]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        if asks:
            self.ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        with origin_of(answering(), tls=context) as running:
            yield running


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def tls_settings(**changes: Any) -> dict[str, Any]:
    return {"verify": True, "ca": None, "server_name": None, "certificate": None, "key": None} | changes


def secure(port: int, host: str = "127.0.0.1", **tls: Any) -> dict[str, Any]:
    targets = [{"url": f"https://{host}:{port}", "weight": 1, "network": "vpc"}]
    return service("s", 0, upstream={"targets": targets, "tls": tls_settings(**tls)})


def status(running: WorkerProcess) -> int:
    with Raw(running.port) as client:
        return client.send(b"GET /s/x HTTP/1.1\r\nHost: x\r\n\r\n").answer()[0]


def test_a_certificate_of_a_known_authority_for_the_host_is_accepted(tmp_path: Path, authority: Authority) -> None:
    with (
        authority.origin("localhost") as origin,
        worker(tmp_path, secure(origin.port, "localhost", ca=authority.path)) as running,
    ):
        assert status(running) == 200
        assert status(running) == 200
        assert origin.server_names == ["localhost"]  # SNI, and one connection for both


def test_an_address_is_verified_as_an_address(tmp_path: Path, authority: Authority) -> None:
    with (
        authority.origin("127.0.0.1") as origin,
        worker(tmp_path, secure(origin.port, ca=authority.path)) as running,
    ):
        assert status(running) == 200


@pytest.mark.parametrize(
    "names, tls, reason",
    [
        pytest.param(["localhost"], {}, "unable to get local issuer certificate", id="unknown authority"),
        pytest.param(["other.example"], {"ca": True}, "Hostname mismatch", id="another host's"),
        pytest.param(["localhost"], {"ca": True, "server_name": "b.example"}, "Hostname mismatch", id="another name"),
    ],
)
def test_any_other_certificate_is_502_and_a_line_in_the_log(
    tmp_path: Path,
    authority: Authority,
    names: list[str],
    tls: dict[str, Any],
    reason: str,
) -> None:
    if tls.get("ca"):
        tls = {**tls, "ca": authority.path}
    with authority.origin(*names) as origin, worker(tmp_path, secure(origin.port, "localhost", **tls)) as running:
        assert {status(running) for _ in range(5)} == {502}
    errors = running.log.read_text()
    line = f"target https://localhost:{origin.port} of service s: certificate not accepted: "
    assert errors.count(line) == 1  # not one for each request
    assert reason in errors
    assert "Traceback" not in errors


def test_a_server_name_takes_the_place_of_the_host(tmp_path: Path, authority: Authority) -> None:
    tls = {"ca": authority.path, "server_name": "orders.internal"}
    with authority.origin("orders.internal") as origin, worker(tmp_path, secure(origin.port, **tls)) as running:
        assert status(running) == 200
        assert origin.server_names == ["orders.internal"]


def test_verification_can_be_switched_off(tmp_path: Path, authority: Authority) -> None:
    with (
        authority.origin("other.example") as origin,
        worker(tmp_path, secure(origin.port, "localhost", verify=False)) as running,
    ):
        assert status(running) == 200


def test_a_client_certificate_is_shown_to_those_who_ask(tmp_path: Path, authority: Authority) -> None:
    own = authority.ca.issue_cert("gateway.internal")
    certificate, key = tmp_path / "own.pem", tmp_path / "own.key"
    own.cert_chain_pems[0].write_to_path(certificate)
    own.private_key_pem.write_to_path(key)
    shown = {"certificate": str(certificate), "key": str(key)}
    with (
        authority.origin("127.0.0.1", asks=True) as origin,
        worker(tmp_path, secure(origin.port, ca=authority.path, **shown)) as running,
    ):
        assert status(running) == 200
        # Without it the origin ends the handshake, and nobody is answered.
        running.apply([secure(origin.port, ca=authority.path)], {"one": instance()})
        assert status(running) == 502


def test_tls_goes_out_from_the_egress_address_too(tmp_path: Path, authority: Authority) -> None:
    with (
        authority.origin("127.0.0.1") as origin,
        worker(tmp_path, secure(origin.port, ca=authority.path), one=instance(egress_ip="127.0.0.2")) as running,
    ):
        assert status(running) == 200
        assert origin.peers == ["127.0.0.2"]


def test_a_file_that_cannot_be_used_trusts_nobody_and_stops_no_other_service(
    tmp_path: Path, authority: Authority
) -> None:
    with (
        authority.origin("127.0.0.1") as origin,
        origin_of(answering()) as plain,
        worker(tmp_path, secure(origin.port, ca=str(tmp_path / "gone.pem")), service("plain", plain.port)) as running,
        Raw(running.port) as client,
    ):
        assert status(running) == 502
        assert client.send(b"GET /plain/x HTTP/1.1\r\nHost: x\r\n\r\n").answer()[0] == 200
    assert "cannot be used" in running.log.read_text()


def test_contexts_are_shared_until_their_files_change(authority: Authority) -> None:
    contexts = TlsContexts()
    first = contexts.context(tls_settings(ca=authority.path))
    assert contexts.context(tls_settings(ca=authority.path)) is first
    assert contexts.context(tls_settings()) is not first
    contexts.drop_unused()
    assert contexts.context(tls_settings(ca=authority.path)) is first
    Path(authority.path).unlink()
    trustme.CA().cert_pem.write_to_path(authority.path)
    assert contexts.context(tls_settings(ca=authority.path)) is not first


def test_old_protocol_versions_are_not_spoken() -> None:
    context = TlsContexts().context(tls_settings())
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
