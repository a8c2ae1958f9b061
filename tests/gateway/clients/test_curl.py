"""curl, which says itself how many bytes it read: heads and content apart."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.gateway.clients.conftest import Gateway
from tests.gateway.clients.origin import content
from tests.installed import needed
from tests.node import until


class Curl:
    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._out = folder / "out"

    def __call__(self, *arguments: str) -> tuple[dict[str, int], bytes]:
        """What it says of the last transfer, and all the content it read."""
        self._out.write_bytes(b"")
        options = ["-sS", "--noproxy", "*", "--max-time", "30", "-o", str(self._out), "-w", "%{json}\n"]
        done = subprocess.run([self._program, *options, *arguments], capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout.splitlines()[-1]), self._out.read_bytes()


@pytest.fixture
def curl(tmp_path: Path) -> Curl:
    return Curl(needed("curl"), tmp_path)


def test_it_reads_to_the_byte_what_is_metered(gateway: Gateway, curl: Curl) -> None:
    said, body = curl(f"{gateway.url}/a/bytes/300000")
    assert (said["response_code"], body) == (200, content(300_000))
    until(lambda: gateway.counted("calls") == 1, "the call is counted", 10)
    assert gateway.counted("egress:client:internet:application") == said["size_header"] + said["size_download"]
    assert gateway.counted("ingress") == said["size_request"]
    gateway.adds_up()


def test_an_upload_with_expect_continue(gateway: Gateway, curl: Curl, tmp_path: Path) -> None:
    """It asks for 100 Continue before content of more than 1 MiB."""
    path = tmp_path / "content"
    path.write_bytes(content(2_000_000))
    said, body = curl("-H", "Expect: 100-continue", "-T", str(path), f"{gateway.url}/a/echo")
    assert (said["response_code"], body) == (200, content(2_000_000))
    gateway.adds_up()


def test_an_upload_whose_length_it_does_not_know(gateway: Gateway, curl: Curl, tmp_path: Path) -> None:
    path = tmp_path / "content"
    path.write_bytes(content(500_000))
    said, body = curl("-H", "Transfer-Encoding: chunked", "-T", str(path), f"{gateway.url}/a/echo")
    assert (said["response_code"], body) == (200, content(500_000))
    gateway.adds_up(is_chunked=True)


@pytest.mark.parametrize(
    "arguments, size",
    [
        pytest.param(["--http1.0"], 70_000, id="HTTP/1.0"),
        pytest.param(["--compressed"], 70_000, id="with codings it would take"),
        pytest.param(["--raw"], 0, id="the chunks themselves"),
    ],
)
def test_an_answer_of_unknown_length(gateway: Gateway, curl: Curl, arguments: list[str], size: int) -> None:
    said, body = curl(*arguments, f"{gateway.url}/a/chunked/70000")
    assert said["response_code"] == 200
    assert len(body) == size if size else body.endswith(b"\r\n0\r\n\r\n")
    gateway.adds_up()


def test_head_is_answered_without_content(gateway: Gateway, curl: Curl) -> None:
    said, _ = curl("-I", f"{gateway.url}/a/bytes/123456")
    assert (said["response_code"], said["size_download"]) == (200, 0)
    gateway.adds_up()


def test_many_requests_go_over_one_connection(gateway: Gateway, curl: Curl) -> None:
    said, body = curl(f"{gateway.url}/a/bytes/[1-20]")
    assert (said["response_code"], body) == (200, content(20))
    assert (gateway.connections, gateway.counted("calls")) == (1, 20)
    gateway.adds_up()


def test_a_redirect_is_followed_below_the_prefix(gateway: Gateway, curl: Curl) -> None:
    said, body = curl("-L", f"{gateway.url}/a/moved")
    assert (said["response_code"], said["num_redirects"], body) == (200, 1, content(10))
    gateway.adds_up()


def test_an_offer_of_http_2_is_ignored(gateway: Gateway, curl: Curl) -> None:
    """RFC 9110 7.8: `Upgrade: h2c` may be; the exchange goes on in HTTP/1.1."""
    said, body = curl("--http2", f"{gateway.url}/a/bytes/50")
    assert (said["response_code"], said["http_version"], body) == (200, "1.1", content(50))
    gateway.adds_up()


@pytest.mark.parametrize("path, status", [("/none", 404), ("/gone/x", 502), ("/live/ws", 426)])
def test_a_refusal_is_read_and_metered_too(gateway: Gateway, curl: Curl, path: str, status: int) -> None:
    said, body = curl(gateway.url + path)
    assert (said["response_code"], json.loads(body)["status"]) == (status, status)
    gateway.adds_up()
