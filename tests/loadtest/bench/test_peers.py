"""What the proxies themselves say of the configurations that we make for them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from loadtest.bench import origin, peers
from loadtest.bench.peers import Place, configuration, make_certificate


@pytest.fixture
def place(tmp_path: Path) -> Place:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on the path")
    make_certificate(tmp_path)
    return Place(tmp_path, 19101, 19102, 19103)


@pytest.mark.parametrize("name", ["nginx", "nginx-lua", "nginx-full", "haproxy", "caddy", "envoy"])
def test_the_proxy_takes_its_configuration(name: str, place: Place, tmp_path: Path) -> None:
    missing = peers.why_missing(name)
    if missing:
        pytest.skip(missing)
    file = tmp_path / ("envoy.yaml" if name == "envoy" else "peer.conf")
    file.write_text(configuration(name, place))
    check = {
        "nginx": ["nginx", "-t", "-c"],
        "nginx-lua": ["nginx", "-t", "-c"],
        "nginx-full": ["nginx", "-t", "-c"],
        "haproxy": ["haproxy", "-c", "-f"],
        "caddy": ["caddy", "validate", "--adapter", "caddyfile", "--config"],
        "envoy": [peers.envoy() or "envoy", "--mode", "validate", "-c"],
    }[name]
    done = subprocess.run([*check, str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_nginx_takes_the_origins_configuration(tmp_path: Path) -> None:
    if shutil.which("nginx") is None:
        pytest.skip("no nginx on the path")
    file = tmp_path / "origin.conf"
    file.write_text(origin.config(tmp_path, 19104))
    done = subprocess.run(["nginx", "-t", "-c", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_aiohttp_proxy_is_told_both_ports_and_its_origin(place: Place) -> None:
    ask = json.loads(configuration("aiohttp", place))
    assert (ask["port"], ask["tls_port"], ask["origin"]) == (19101, 19102, "http://127.0.0.1:19103")


def test_what_is_not_installed_is_left_out_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert peers.why_missing("haproxy") == "no haproxy on the path"
    assert peers.why_missing("nginx-lua") == "no nginx on the path"
