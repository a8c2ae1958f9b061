"""Keys where browsers can put them: in the query, in a cookie, among a WebSocket's subprotocols (`auth: in`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.data_plane import Raw, WorkerProcess, instance, service, worker
from tests.gateway.proxy.test_access_log import wait_for
from tests.gateway.proxy.test_cors import APP, rule
from tests.gateway.proxy.test_either import tunnelling
from tests.gateway.rfc.raw_upstream import RawUpstream

SECRET = "a+b/c="  # As keys in base64 are.
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()
WORD = hashlib.sha256(b"word").hexdigest()
UPGRADE = ["Connection: Upgrade", "Upgrade: websocket"]


def auth(place: str, name: str, *, strip: bool = True) -> dict[str, Any]:
    keys = [{"id": "k", "sha256": DIGEST}, {"id": "w", "sha256": WORD}]
    return {"in": place, "name": name, "strip": strip, "keys": keys}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    made = RawUpstream()
    yield made
    made.stop()


@contextmanager
def serving(folder: Path, upstream: RawUpstream, **changes: Any) -> Iterator[WorkerProcess]:
    upstream.reset()
    with worker(folder, service("s", upstream.port, **changes), access_log=folder / "access.log") as running:
        yield running


def ask(running: WorkerProcess, target: str, *fields: str, method: str = "GET") -> int:
    with Raw(running.port) as client:
        text = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *fields, "", ""])
        return client.send(text.encode()).answer()[0]


QUERIES = [
    pytest.param("?api_key=a%2Bb%2Fc%3D", "/x", id="alone"),
    pytest.param("?api_key=a+b/c=", "/x", id="as it is"),
    pytest.param("?a=1&api_key=word&b=2", "/x?a=1&b=2", id="in between"),
    pytest.param("?api_key=word&a=%20&&b", "/x?a=%20&&b", id="the rest as it came"),
    pytest.param("?a=1&%61pi_key=word", "/x?a=1", id="its name escaped"),
]


@pytest.mark.parametrize("query, target", QUERIES)
def test_a_key_in_the_query_is_taken_out_and_never_logged(
    tmp_path: Path, upstream: RawUpstream, query: str, target: str
) -> None:
    with serving(tmp_path, upstream, auth=auth("query", "api_key")) as running:
        assert ask(running, f"/s/x{query}") == 200
        assert upstream.requests[-1].start == f"GET {target}".encode()
        wait_for(tmp_path / "access.log", 1)
        logged = (tmp_path / "access.log").read_text() + running.log.read_text()
        assert "word" not in logged
        assert "a%2Bb" not in logged
        assert "a+b" not in logged


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?",
        "?api_key",
        "?api_key=",
        "?api_key=wrong",
        "?API_KEY=word",
        "?api_key=word&api_key=word",
        "?x=api_key=word",
    ],
)
def test_no_key_or_two_are_none(tmp_path: Path, upstream: RawUpstream, query: str) -> None:
    with serving(tmp_path, upstream, auth=auth("query", "api_key")) as running:
        assert ask(running, f"/s/x{query}", "X-Api-Key: word") == 401
        assert upstream.requests == []


def test_one_requests_key_is_not_the_next_ones(tmp_path: Path, upstream: RawUpstream) -> None:
    with serving(tmp_path, upstream, auth=auth("query", "api_key")) as running, Raw(running.port) as client:
        for target, status in (
            ("/s/x?api_key=word", 200),
            ("/s/x", 401),
            ("/s/x?api_key=word&a=1", 200),
            ("/s/x?a=1", 401),
        ):
            assert client.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).answer()[0] == status


def test_what_is_not_stripped_goes_on(tmp_path: Path, upstream: RawUpstream) -> None:
    with serving(tmp_path, upstream, auth=auth("query", "api_key", strip=False)) as running:
        assert ask(running, "/s/x?a=1&api_key=word") == 200
        assert upstream.requests[-1].start == b"GET /x?a=1&api_key=word"


def test_a_preflight_has_no_key_and_what_follows_has_one(tmp_path: Path, upstream: RawUpstream) -> None:
    changes = {"auth": auth("query", "api_key"), "cors": rule(APP), "protocol": "any"}
    with serving(tmp_path, upstream, **changes) as running:
        origin = f"Origin: {APP}"
        assert ask(running, "/s/x", origin, "Access-Control-Request-Method: GET", method="OPTIONS") == 204
        assert ask(running, "/s/x?api_key=word", origin) == 200
        assert ask(running, "/s/x", origin) == 401


@pytest.mark.parametrize(
    "cookies, left",
    [
        (["Cookie: api_key=word"], None),
        (["Cookie: a=1; api_key=word; b=2"], "a=1; b=2"),
        (["Cookie: a=1;api_key=a+b/c=;b=x=y"], "a=1; b=x=y"),
        (["Cookie: a=1", "Cookie: api_key=word"], "a=1"),
    ],
)
def test_a_key_in_a_cookie_is_taken_out(
    tmp_path: Path, upstream: RawUpstream, cookies: list[str], left: str | None
) -> None:
    with serving(tmp_path, upstream, auth=auth("cookie", "api_key")) as running:
        assert ask(running, "/s/x", *cookies) == 200
        assert upstream.requests[-1].fields.get("cookie") == left
        assert b"word" not in upstream.requests[-1].raw


@pytest.mark.parametrize(
    "cookies",
    [
        [],
        ["Cookie: api_key=wrong"],
        ["Cookie: api_key=word; api_key=word"],
        ["Cookie: api_key=word", "Cookie: api_key=x"],
    ],
)
def test_no_cookie_or_two_are_none(tmp_path: Path, upstream: RawUpstream, cookies: list[str]) -> None:
    with serving(tmp_path, upstream, auth=auth("cookie", "api_key")) as running:
        assert ask(running, "/s/x", *cookies) == 401


@pytest.mark.parametrize("protocol", ["websocket", "any"])
@pytest.mark.parametrize(
    "fields, left",
    [
        (["Sec-WebSocket-Protocol: key.word, chat"], "chat"),
        (["Sec-WebSocket-Protocol: chat,key.word,superchat"], "chat, superchat"),
        (["Sec-WebSocket-Protocol: key.word"], None),
        (["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: key.word"], "chat"),
    ],
)
def test_a_key_among_subprotocols_goes_no_further(
    tmp_path: Path, upstream: RawUpstream, protocol: str, fields: list[str], left: str | None
) -> None:
    changes = {"auth": auth("subprotocol", "key", strip=False), "protocol": protocol}
    with serving(tmp_path, upstream, **changes) as running:
        assert ask(running, "/s/x", "Upgrade: websocket", *fields) == (426 if protocol == "websocket" else 200)
        with Raw(running.port) as client:
            lines = ["GET /s/x HTTP/1.1", "Host: x", *UPGRADE, *fields, "", ""]
            client.send("\r\n".join(lines).encode()).head()
        assert upstream.requests[-1].fields.get("sec-websocket-protocol") == left


@pytest.mark.parametrize("value", ["", "chat", "key.wrong", "key.word, key.word", "Key.word", "key"])
def test_no_such_subprotocol_or_two_are_none(tmp_path: Path, upstream: RawUpstream, value: str) -> None:
    changes = {"auth": auth("subprotocol", "key"), "protocol": "websocket"}
    with serving(tmp_path, upstream, **changes) as running, Raw(running.port) as client:
        lines = ["GET /s/x HTTP/1.1", "Host: x", *UPGRADE, f"Sec-WebSocket-Protocol: {value}", "", ""]
        status, _, content = client.send("\r\n".join(lines).encode()).answer()
        assert (status, json.loads(content)["type"]) == (401, "urn:tollgate:unauthorized")


def test_a_tunnel_whose_key_is_taken_out_of_the_query_stays_while_the_key_holds(
    tmp_path: Path, upstream: RawUpstream
) -> None:
    """Asked again at a change, the request still has its key; and when the key goes, so does the tunnel."""
    with tunnelling() as sockets:
        made = service("s", sockets.port, protocol="any", auth=auth("query", "api_key"))
        with worker(tmp_path, made) as running, Raw(running.port) as client:
            lines = ["GET /s/x?api_key=word HTTP/1.1", "Host: x", *UPGRADE, "", ""]
            assert client.send("\r\n".join(lines).encode()).head()[0] == 101
            running.apply([made | {"wait_ms_max": 1}], {"one": instance(), "two": instance()})
            client.send(b"still")
            assert client._exactly(5) == b"still"
            gone = auth("query", "api_key") | {"keys": [{"id": "k", "sha256": DIGEST}]}
            running.apply([made | {"auth": gone}], {"one": instance(), "two": instance()})
            assert client.rest() == b""
