"""A dedicated instance bought over the API of a running node: it serves once the answer is there, until its release."""

from __future__ import annotations

import http.client
from pathlib import Path

from tests.gateway.control.configuration import config_text, service
from tests.node import free_port, node, origin, until


def status(port: int, path: str) -> int | None:
    """None: nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except ConnectionRefusedError:
        return None
    finally:
        connection.close()


def test_it_serves_at_once_and_until_its_release(tmp_path: Path) -> None:
    admin, mine = free_port(), free_port()
    wish = {
        "account": "acme",
        "id": "mine",
        "spec": "dedicated-2500",
        "region": "ap-guangzhou",
        "price": "0.0001",
        "entry": [{"bind": f"127.0.0.1:{mine}"}],
    }
    with origin() as port:
        text = config_text(admin=admin, dedicated=free_port(), shared=free_port(), origin=port)
        text = text.replace("shared_workers: 2", "shared_workers: 1").replace("drain: 2s", "drain: 200ms")
        with node(tmp_path, text, admin) as running:
            bought = running.call("POST", "/v1/instances", wish)
            assert bought == (201, {"account": "acme", "id": "mine", "serving": True})
            assert status(mine, "/own/bytes/3") == 404
            upstream = {"targets": [{"url": f"http://127.0.0.1:{port}"}]}
            assert running.call("POST", "/v1/services", service("own", instance="mine", upstream=upstream))[0] == 201
            assert status(mine, "/own/bytes/3") == 200
            assert running.call("POST", "/v1/instances", {**wish, "id": "other"})[0] == 422

            assert running.call("POST", "/v1/instances/mine/release")[0] == 201
            until(lambda: status(mine, "/own/bytes/3") is None, "nobody listens there any more")
