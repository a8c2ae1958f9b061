"""A node is not its own upstream, in the file and over the API."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.loading import load_settings, parse_instance, parse_service
from tests.config.test_loading import SOUND, write

SHARED, ADMIN, DEDICATED = 8080, 8081, 8443  # of SOUND, all on 127.0.0.1
TARGET = 'url: "http://127.0.0.1:9001"'


def faults(folder: Path, text: str) -> list[str]:
    try:
        load_settings(write(folder, text))
    except ConfigError as error:
        return [str(fault) for fault in error.faults]
    return []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "LOCALHOST.", "api.localhost", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "ip6-localhost"],
)
@pytest.mark.parametrize(
    "port, owner",
    [
        (SHARED, "entry[0]"),
        (ADMIN, "the admin API"),
        (DEDICATED, "entry[0] of instance acme-dedicated"),
    ],
)
def test_a_target_that_is_the_node_is_refused_with_the_reason(tmp_path: Path, host: str, port: int, owner: str) -> None:
    (found,) = faults(tmp_path, SOUND.replace(TARGET, f'url: "http://{host}:{port}/x"', 1))
    assert found == f"services[0].upstream.targets[0].url: is this node itself, {owner}: requests would go round"


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:{SHARED + 1000}",
        f"http://127.0.0.2:{SHARED}",
        f"http://[::1]:{SHARED}",
        f"http://orders.internal:{SHARED}",
        f"http://203.0.113.7:{SHARED}",
        "http://localhost",
    ],
)
def test_what_is_beside_the_node_is_a_target(tmp_path: Path, url: str) -> None:
    assert faults(tmp_path, SOUND.replace(TARGET, f'url: "{url}"', 1)) == []


def _own_address() -> str:
    """One of this machine that is no loopback, or the loopback where there is no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


@pytest.mark.parametrize(
    "bind, host, is_itself",
    [
        ("0.0.0.0", "127.0.0.1", True),
        ("0.0.0.0", "127.8.8.8", True),
        ("0.0.0.0", "localhost", True),
        ("0.0.0.0", "[::ffff:127.0.0.1]", True),
        ("0.0.0.0", _own_address(), True),
        ("0.0.0.0", "[::1]", False),
        ("0.0.0.0", "203.0.113.7", False),
        ("[::]", "[::1]", True),
        ("[::]", "127.0.0.1", True),
        ("[::]", "localhost", True),
        ("[::1]", "localhost", True),
        ("[::1]", "[::]", True),
        ("[::1]", "127.0.0.1", False),
        ("203.0.113.9", "203.0.113.9", True),
        ("203.0.113.9", "127.0.0.1", False),
    ],
)
def test_an_entry_on_all_addresses_is_met_at_each_of_them(
    tmp_path: Path, bind: str, host: str, is_itself: bool
) -> None:
    text = SOUND.replace(f'"127.0.0.1:{SHARED}"', f'"{bind}:{SHARED}"', 1)
    assert len(faults(tmp_path, text.replace(TARGET, f'url: "http://{host}:{SHARED}"', 1))) == is_itself


def test_an_address_that_the_node_has_by_another_setting_is_its_own(tmp_path: Path) -> None:
    text = SOUND.replace(f'"127.0.0.1:{SHARED}"', f'"0.0.0.0:{SHARED}"', 1)
    text = text.replace("    workers: 1\n", "    workers: 1\n    egress_ip: 203.0.113.7\n", 1)
    assert len(faults(tmp_path, text.replace(TARGET, f'url: "http://203.0.113.7:{SHARED}"', 1))) == 1


def test_the_port_of_a_scheme_is_one_too(tmp_path: Path) -> None:
    text = SOUND.replace(f'"127.0.0.1:{SHARED}"', '"127.0.0.1:80"', 1)
    assert len(faults(tmp_path, text.replace(TARGET, 'url: "http://localhost"', 1))) == 1


def test_spans_are_not_sent_through_the_node(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, SOUND + f'tracing: {{endpoint: "http://localhost:{SHARED}"}}\n')
    assert found.startswith("tracing.endpoint: is this node itself")


def test_a_service_of_the_api_is_refused_the_same(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, SOUND))
    targets = [{"url": "http://127.0.0.1:1"}, {"url": f"http://localhost:{ADMIN}"}]
    with pytest.raises(ConfigError) as caught:
        parse_service({"id": "new", "instance": "acme-shared", "upstream": {"targets": targets}}, settings, [])
    assert [fault.path for fault in caught.value.faults] == ["upstream.targets[1].url"]


def test_an_entry_is_not_bought_where_a_service_has_its_target(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, SOUND))
    bought = {
        "id": "new",
        "account": "acme",
        "type": "dedicated",
        "spec": "dedicated-2500",
        "region": "ap-guangzhou",
        "charge": "payg",
        "entry": [{"bind": "127.0.0.1:9001"}],
    }
    with pytest.raises(ConfigError, match="service catalogue has it as a target"):
        parse_instance(bought, settings)
    assert parse_instance({**bought, "entry": [{"bind": "127.0.0.1:9999"}]}, settings).id == "new"
