"""A whole node with a TLS entry: from its file to the handshake, and over SIGHUP."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.certificates import Authority
from tests.gateway.control.configuration import config_text
from tests.gateway.data_plane import Raw
from tests.node import free_port, node, origin, until

HOST = "api.example.com"
REQUEST = b"GET /checkout/bytes/3 HTTP/1.1\r\nHost: api.example.com\r\n\r\n"


def test_sighup_takes_up_certificates_without_a_restart(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server", HOST)
    admin, dedicated = free_port(), free_port()
    context = authority.client_context()
    with origin() as port:
        text = config_text(admin=admin, dedicated=dedicated, shared=free_port(), origin=port).replace(
            "network: vpc}", "network: vpc, tls: {certificate: server.pem, key: server.key, min_version: '1.3'}}"
        )
        with node(tmp_path, text, admin) as running, Raw(dedicated, context=context, name=HOST) as client:
            assert client.send(REQUEST).answer()[2] == b"xxx"
            pids = running.worker_pids()

            def shown() -> bytes:
                with Raw(dedicated, context=context, name=HOST) as other:
                    assert other.socket.version() == "TLSv1.3"  # type: ignore[attr-defined]
                    return bytes(other.socket.getpeercert(binary_form=True))  # type: ignore[attr-defined]

            before = pair.der
            assert shown() == before
            authority.issue("server", HOST)
            running.process.send_signal(signal.SIGHUP)
            until(lambda: shown() == pair.der, "the new certificate is shown")
            assert running.worker_pids() == pids
            assert client.send(REQUEST).answer()[2] == b"xxx"

            pair.certificate.write_text("half of it")
            running.process.send_signal(signal.SIGHUP)
            until(lambda: "is not taken up" in running.log.read_text(), "the node refuses the file")
            assert "instances[1].entry[0].tls.certificate" in running.log.read_text()
            assert client.send(REQUEST).answer()[2] == b"xxx"
            assert running.worker_pids() == pids
