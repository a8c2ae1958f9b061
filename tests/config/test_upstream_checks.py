"""What `tollgate check` says of upstreams."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from config.errors import ConfigError
from config.loading import load_settings
from tests.gateway.control.configuration import config_text


def faults(folder: Path, upstream: str) -> dict[str, str]:
    plain = 'upstream: {targets: [{url: "http://127.0.0.1:19001"}]}\n    routes'
    text = config_text()
    assert plain in text
    text = text.replace(plain, f"upstream: {upstream}\n    routes")
    path = folder / "tollgate.yaml"
    path.write_text(text)
    try:
        load_settings(path)
    except ConfigError as error:
        return {fault.path: fault.message for fault in error.faults}
    return {}


SECURE = 'targets: [{url: "https://a.example"}]'
AT = "services[0].upstream"


@pytest.mark.parametrize(
    "upstream, path, part",
    [
        pytest.param(f"{SECURE}, health: {{status: [200, 6xx]}}", f"{AT}.health.status[1]", "not as", id="no status"),
        pytest.param(f"{SECURE}, health: {{status: []}}", f"{AT}.health.status", "at least 1", id="no status at all"),
        pytest.param(f'{SECURE}, health: {{host: "a b"}}', f"{AT}.health.host", "is not as", id="no host"),
        pytest.param(f'{SECURE}, health: {{path: "/a#b"}}', f"{AT}.health.path", "is no path", id="a fragment"),
        pytest.param(
            'targets: [{url: "http://a.example"}, {url: "http://a.example", weight: 2}]',
            f"{AT}.targets[1].url",
            "stands twice",
            id="one target twice",
        ),
        pytest.param(
            'targets: [{url: "http://a.example", weight: 1001}]', f"{AT}.targets[0].weight", "1000", id="weight"
        ),
        pytest.param(f"{SECURE}, connections_max: 0", f"{AT}.connections_max", "1", id="no connections"),
        pytest.param(
            'targets: [{url: "http://a.example"}], tls: {verify: false}', f"{AT}.tls", "no target is https", id="no TLS"
        ),
        pytest.param(f"{SECURE}, tls: {{ca: none.pem}}", f"{AT}.tls.ca", "there is no file", id="no file"),
        pytest.param(f"{SECURE}, tls: {{ca: junk.pem}}", f"{AT}.tls.ca", "no certificates", id="no certificates in it"),
        pytest.param(
            f"{SECURE}, tls: {{verify: false, ca: ca.pem}}", f"{AT}.tls.ca", "while verify is false", id="unused"
        ),
        pytest.param(f"{SECURE}, tls: {{certificate: ca.pem}}", f"{AT}.tls.key", "needs both", id="no key"),
        pytest.param(
            f"{SECURE}, tls: {{certificate: ca.pem, key: junk.pem}}",
            f"{AT}.tls.certificate",
            "cannot be used",
            id="no key in it",
        ),
        pytest.param(
            f'{SECURE}, tls: {{server_name: "*.a.example"}}', f"{AT}.tls.server_name", "wildcards", id="wildcard"
        ),
    ],
)
def test_a_fault_is_named_with_its_place(tmp_path: Path, upstream: str, path: str, part: str) -> None:
    (tmp_path / "junk.pem").write_text("no certificate")
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    found = faults(tmp_path, f"{{{upstream}}}")
    assert list(found) == [path]
    assert part in found[path]


def test_good_settings_have_no_fault(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    ca.issue_cert("gateway.internal").private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    tls = "tls: {ca: ca.pem, server_name: orders.internal, certificate: own.pem, key: own.pem}"
    assert faults(tmp_path, f"{{{SECURE}, {tls}, connections_max: 10}}") == {}
