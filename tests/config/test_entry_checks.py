"""What `tollgate check` says of an entry: the file at fault, by its place in the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.commands import check
from config.errors import ConfigError
from config.loading import load_settings
from tests.certificates import Authority
from tests.gateway.control.configuration import config_text

AT = "instances[1].entry[0]"
WHOLE = "certificate: server.pem, key: server.key"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    authority = Authority(tmp_path)
    authority.issue("server", "api.example.com", "*.example.com")
    authority.issue("other", "other.example.com")
    authority.issue("again", "api.example.com")
    authority.issue("nameless")
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return tmp_path


def write(folder: Path, *, dedicated: str = "", shared: str = "") -> Path:
    """A sound configuration with these options on its entries."""
    text = config_text()
    for network, options in (("vpc", dedicated), ("internet", shared)):
        if options:
            assert text.count(f"network: {network}}}") == 1
            text = text.replace(f"network: {network}}}", f"network: {network}, {options}}}")
    path = folder / "tollgate.yaml"
    path.write_text(text)
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    "options",
    [
        f"tls: {{{WHOLE}}}",
        f"tls: {{{WHOLE}, min_version: '1.3', max_version: '1.3'}}",
        f"tls: {{{WHOLE}, certificates: [{{certificate: other.pem, key: other.key}}]}}",
        "tls: {certificates: [{certificate: server.pem, key: server.key}]}",
        "tls: {certificate: nameless.pem, key: nameless.key}",
        f"tls: {{{WHOLE}, client_ca: authority.pem}}",
        f"tls: {{{WHOLE}, client_ca: authority.pem, client_auth: optional}}",
        f"tls: {{{WHOLE}, client_ca: authority.pem, client_cert: forward}}",
        "proxy_protocol: true",
        f"proxy_protocol: true, proxy_protocol_from: [10.0.0.0/8], tls: {{{WHOLE}}}",
    ],
)
def test_a_sound_entry_has_no_fault(folder: Path, options: str) -> None:
    load_settings(write(folder, dedicated=options))


@pytest.mark.parametrize(
    "options, place, said",
    [
        ("tls: {}", "tls.certificate", "is missing"),
        ("tls: {certificate: server.pem}", "tls.key", "is missing"),
        ("tls: {key: server.key}", "tls.certificate", "is missing"),
        ("tls: {certificate: none.pem, key: server.key}", "tls.certificate", "none.pem: cannot be read: No such file"),
        ("tls: {certificate: server.pem, key: none.key}", "tls.key", "none.key: cannot be read: No such file"),
        ("tls: {certificate: server.pem, key: other.key}", "tls.certificate", "KEY_VALUES_MISMATCH"),
        ("tls: {certificate: broken.pem, key: server.key}", "tls.certificate", "broken.pem: cannot be used"),
        (
            f"tls: {{{WHOLE}, certificates: [{{certificate: other.pem, key: server.key}}]}}",
            "tls.certificates[0].certificate",
            "KEY_VALUES_MISMATCH",
        ),
        (
            f"tls: {{{WHOLE}, certificates: [{{certificate: nameless.pem, key: nameless.key}}]}}",
            "tls.certificates[0].certificate",
            "no DNS names",
        ),
        (
            f"tls: {{{WHOLE}, certificates: [{{certificate: again.pem, key: again.key}}]}}",
            "tls.certificates[0].certificate",
            "an earlier certificate",
        ),
        (f"tls: {{{WHOLE}, min_version: '1.3', max_version: '1.2'}}", "tls.max_version", "lower than min_version"),
        (f"tls: {{{WHOLE}, min_version: '1.1'}}", "tls.min_version", "'1.2' or '1.3'"),
        (f"tls: {{{WHOLE}, client_auth: required}}", "tls.client_auth", "needs client_ca"),
        (f"tls: {{{WHOLE}, client_cert: forward}}", "tls.client_cert", "needs client_ca"),
        (f"tls: {{{WHOLE}, client_ca: none.pem}}", "tls.client_ca", "No such file"),
        (f"tls: {{{WHOLE}, client_ca: server.pem}}", "tls.client_ca", "no certificates of authorities"),
        (f"tls: {{{WHOLE}, client_ca: server.key}}", "tls.client_ca", "no certificates of authorities"),
        ("proxy_protocol_from: [10.0.0.0/8]", "proxy_protocol_from", "proxy_protocol is off"),
        ("proxy_protocol: true, proxy_protocol_from: [10.0.0.0/33]", "proxy_protocol_from[0]", "10.0.0.0/33"),
    ],
)
def test_a_fault_is_named_by_its_place(folder: Path, options: str, place: str, said: str) -> None:
    found = faults(write(folder, dedicated=options))
    assert len(found) == 1, found
    assert found[0].startswith(f"{AT}.{place}: ") and said in found[0], found


def test_a_shared_entry_takes_the_proxy_protocol_and_no_tls(folder: Path) -> None:
    load_settings(write(folder, shared="proxy_protocol: true"))
    assert faults(write(folder, shared=f"tls: {{{WHOLE}}}")) == ["entry[0].tls: is for dedicated instances only (L5)"]


def test_the_command_tells_of_each_certificate(folder: Path) -> None:
    import typer

    app = typer.Typer()
    app.command()(check)
    options = "tls: {certificate: none.pem, key: server.key, client_ca: none-either.pem}"
    found = CliRunner().invoke(app, [str(write(folder, dedicated=options))])
    assert found.exit_code == 1
    assert [line.partition(":")[0] for line in found.stderr.splitlines()] == [
        f"{AT}.tls.certificate",
        f"{AT}.tls.client_ca",
    ]
