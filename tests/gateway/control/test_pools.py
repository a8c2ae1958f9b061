"""From the configuration's entries to what a worker is told of them."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from config.loading import load_settings
from gateway.control.pools import pool_specs
from gateway.entry.tls import TlsSettings
from tests.certificates import Authority
from tests.gateway.control.configuration import config_text


@pytest.mark.parametrize(
    "tracing, told",
    [
        ("", None),
        (
            'tracing: {endpoint: "http://otlp:4318", sample: 0.5}',
            {"node": "node-1", "endpoint": "http://otlp:4318/v1/traces", "sample": 0.5, "queue_max": 2048},
        ),
    ],
)
def test_a_worker_is_told_where_spans_go(tmp_path: Path, tracing: str, told: object) -> None:
    path = tmp_path / "tollgate.yaml"
    path.write_text(config_text() + tracing + "\n")
    for spec in pool_specs(load_settings(path), {}, lambda pool: tmp_path / f"{pool}.lim"):
        assert spec.boot(0, "writer", 3, [4], tmp_path / "snapshot")["tracing"] == told


@pytest.mark.parametrize(
    "options, expected",
    [
        ("certificate: a.pem, key: a.key", ((("a.pem", "a.key"),), "1.2", "1.3", None, "none")),
        (
            "certificate: a.pem, key: a.key, certificates: [{certificate: b.pem, key: b.key}], max_version: '1.2'",
            ((("a.pem", "a.key"), ("b.pem", "b.key")), "1.2", "1.2", None, "none"),
        ),
        (
            "certificates: [{certificate: b.pem, key: b.key}], min_version: '1.3', client_ca: authority.pem",
            ((("b.pem", "b.key"),), "1.3", "1.3", "authority.pem", "required"),
        ),
        (
            "certificate: a.pem, key: a.key, client_ca: authority.pem, client_auth: optional",
            ((("a.pem", "a.key"),), "1.2", "1.3", "authority.pem", "optional"),
        ),
    ],
)
def test_a_worker_is_told_its_entry(
    tmp_path: Path,
    options: str,
    expected: tuple[tuple[tuple[str, str], ...], str, str, str | None, str],
) -> None:
    authority = Authority(tmp_path)
    authority.issue("a", "a.example.com")
    authority.issue("b", "b.example.com")
    path = tmp_path / "tollgate.yaml"
    more = f"network: vpc, tls: {{{options}}}, proxy_protocol: true, proxy_protocol_from: [10.0.0.0/8]}}"
    path.write_text(config_text().replace("network: vpc}", more))
    _, spec = pool_specs(load_settings(path), {}, lambda pool: tmp_path / f"{pool}.lim")
    boot = orjson.loads(orjson.dumps(spec.boot(0, "writer", 3, [4], tmp_path / "snapshot")))
    (listener,) = boot["listeners"]
    pairs, lowest, highest, client_ca, client_auth = expected
    assert TlsSettings.of(listener.pop("tls")) == TlsSettings(
        tuple((str(tmp_path / certificate), str(tmp_path / key)) for certificate, key in pairs),
        lowest,
        highest,
        str(tmp_path / client_ca) if client_ca else None,
        client_auth,
    )
    assert listener == {
        "fd": 4,
        "network": "vpc",
        "proxy_protocol": True,
        "proxy_protocol_from": ["10.0.0.0/8"],
    }
