"""Why an exchange was refused or failed: told to the client in words, and to the operator in the access log."""

from __future__ import annotations

import errno
import json
import random
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from gateway.proxy.dialing import _reason
from tests.certificates import Authority
from tests.gateway.data_plane import Raw, WorkerProcess, service, worker
from tests.gateway.proxy.origins import OK, answering, origin_of, silent_after
from tests.gateway.proxy.test_access_log import get, lines, wait_for
from tests.node import free_port, origin, until

HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64))
REFUSED_HEADS = [
    pytest.param(HELLO, "TLS on a port that speaks plain HTTP", "-", "-", id="a ClientHello"),
    pytest.param(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "an HTTP/2 connection preface, and HTTP/1.1 is spoken here",
        "PRI",
        "*",
        id="an HTTP/2 preface",
    ),
    pytest.param(
        "GET /caf\u00e9 HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        "above 0x7F must be",
        "GET",
        "/caf\ufffd\ufffd",
        id="path",
    ),
    pytest.param("GET /a?q=\u00e9 HTTP/1.1\r\nHost: x\r\n\r\n".encode(), "above 0x7F must be", "GET", "/a", id="query"),
    pytest.param(b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", "white space in the target", "GET", "/a", id="a space"),
    pytest.param(b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", "a fragment", "GET", "/a#b", id="a fragment"),
    pytest.param(
        b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT asks for a tunnel", "CONNECT", "a:1", id="CONNECT"
    ),
    pytest.param(b"GET /a HTTP/3.0\r\nHost: x\r\n\r\n", "no other version", "GET", "/a", id="a version"),
    pytest.param(b"GET /a\r\nHost: x\r\n\r\n", "no HTTP version", "GET", "/a", id="no version"),
    pytest.param(b"G@T /a HTTP/1.1\r\nHost: x\r\n\r\n", "the method is no token", "-", "-", id="a method"),
    pytest.param(b"GET /a HTTP/1.1\r\n\r\n", "Host is missing", "GET", "/a", id="no Host"),
    pytest.param(
        b"GET /a HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", "field line 2: white space before", "GET", "/a", id="a name"
    ),
    pytest.param(b"GET /a HTTP/1.1\r\nHost: x\r\n b\r\n\r\n", "field line 2: it is folded", "GET", "/a", id="a fold"),
    pytest.param(
        b"GET /a HTTP/1.1\r\nHost: x\r\nb\r\n\r\n", "field line 2: it has no colon", "GET", "/a", id="no colon"
    ),
    pytest.param(
        b"GET /a HTTP/1.1\r\nHost: x\r\nA: \x01\r\n\r\n", "a control in its value", "GET", "/a", id="a control"
    ),
    pytest.param(b"GET /s/..%2f HTTP/1.1\r\nHost: x\r\n\r\n", "hides a slash", "GET", "/s/..%2f", id="a hidden slash"),
    pytest.param(b"GET /secret?token=" + b"t" * 9000, "", "GET", "/secret", id="a part of a head"),
]


@pytest.mark.parametrize("data, detail, method, path", REFUSED_HEADS)
def test_the_log_says_which_rule_a_head_breaks_and_so_does_the_answer(
    tmp_path: Path, data: bytes, detail: str, method: str, path: str
) -> None:
    log = tmp_path / "access.log"
    with worker(tmp_path, service("s", 9), access_log=log, head_timeout=0.2) as running:
        with Raw(running.port) as client:
            status, _, content = client.send(data).answer()
        assert status in (400, 408)
        told = json.loads(content)["detail"]
        assert detail in told
        (line,) = wait_for(log, 1)
        assert (line["detail"], line["method"], line["path"]) == (told, method, path)
        assert line["bytes_in"] == len(data)
        assert "ttt" not in log.read_text()


def test_a_head_that_the_client_leaves_within_has_what_was_read_of_it(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with worker(tmp_path, service("s", 9), access_log=log) as running:
        with Raw(running.port) as client:
            client.send(b"GET /half?token=secret HTTP/1.1\r\nHo")
        (line,) = wait_for(log, 1)
        assert (line["method"], line["path"], line["outcome"]) == ("GET", "/half", "bad_request")
        assert line["detail"] == "the connection ended within the head"
        assert 0 <= line["duration_ms"] < 60_000
        assert "secret" not in log.read_text()


ANSWERS = [
    pytest.param(b"HTTP/1.1 abc\r\n\r\n", "status line", id="its status line"),
    pytest.param(b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "field line 1, white space before the colon", id="a field line"),
    pytest.param(b"HTTP/1.1 200 OK\nA: b\r\n", "a bare CR, LF or NUL", id="a bare LF"),
    pytest.param(b"SSH-2.0-x\r\n", "it is no HTTP/1.1 or HTTP/1.0", id="another protocol"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "Content-Length", id="a length"),
]


@pytest.mark.parametrize("answer, detail", ANSWERS)
def test_the_log_says_which_fault_the_upstreams_answer_has(tmp_path: Path, answer: bytes, detail: str) -> None:
    log = tmp_path / "access.log"
    with (
        origin_of(answering(answer)) as upstream,
        worker(tmp_path, service("s", upstream.port), access_log=log) as running,
        Raw(running.port) as client,
    ):
        status, _, content = client.send(get("/s/x")).answer()
        (line,) = wait_for(log, 1)
        assert status == 502
        assert detail in line["detail"]
        assert line["detail"] == json.loads(content)["detail"]
        assert line["upstream"] == f"http://127.0.0.1:{upstream.port}"


def test_a_fault_in_the_middle_of_an_answer_is_told_to_the_operator_alone(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nnonsense\r\n"
    with (
        origin_of(silent_after(begun)) as upstream,
        worker(tmp_path, service("s", upstream.port), access_log=log) as running,
        Raw(running.port) as client,
    ):
        client.send(get("/s/x")).head()
        (line,) = wait_for(log, 1)
        assert (line["status"], line["outcome"], line["detail"]) == (200, "bad_gateway", "malformed chunk size")


def test_a_fault_of_the_client_in_the_middle_of_an_answer_is_no_ok(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with (
        origin_of(silent_after(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")) as upstream,
        worker(tmp_path, service("s", upstream.port), access_log=log) as running,
        Raw(running.port) as client,
    ):
        client.send(b"POST /s/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").head()
        client.send(b"nonsense\r\n")
        (line,) = wait_for(log, 1)
        assert (line["outcome"], line["detail"]) == ("bad_request", "malformed chunk size")


def test_why_an_upstream_cannot_be_reached_is_told_in_words_and_in_no_class_names(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    authority = Authority(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority.issue("server", "localhost").paths)

    def to(id: str, url: str) -> dict[str, Any]:
        return service(id, 9, upstream={"targets": [{"url": url, "weight": 1, "network": "vpc"}], "retries": 0})

    with (
        origin_of(answering(), tls=tls) as encrypted,
        origin_of(lambda connection: connection.sendall(OK)) as plain,
        worker(
            tmp_path,
            to("gone", f"http://127.0.0.1:{free_port()}"),
            to("untrusted", f"https://127.0.0.1:{encrypted.port}"),
            to("plain", f"https://127.0.0.1:{plain.port}"),
            access_log=log,
        ) as running,
    ):
        told = {}
        for id in ("gone", "untrusted", "plain"):
            with Raw(running.port) as client:
                status, _, content = client.send(get(f"/{id}/x")).answer()
                assert status == 502
                told[id] = json.loads(content)["detail"].removeprefix("the upstream cannot be reached ")
        assert told == {
            "gone": "(connection refused)",
            "untrusted": "(its certificate is not accepted)",
            "plain": "(TLS failed)",
        }
        found = wait_for(log, 3)
        assert [line["detail"].partition("reached ")[2] for line in found] == list(told.values())
        assert all(line["upstream"].startswith("http") for line in found), "which target it was"


@pytest.mark.parametrize(
    "error, words",
    [
        (socket.gaierror(-2, "Name or service not known"), "its name is not known"),
        (OSError("x has no address"), "its name has no address"),
        (ConnectionResetError("closed at once"), "the connection was closed at once"),
        (OSError(errno.EMFILE, "Too many open files"), "the gateway has no means for a connection"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no route to host"),
        (ssl.SSLError(1, "wrong version"), "TLS failed"),
    ],
)
def test_each_kind_of_failure_has_its_words(error: OSError, words: str) -> None:
    assert _reason(error) == words


def test_the_log_has_what_shadow_mode_would_have_refused(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    routes = [{"id": "r", "methods": ["GET"], "path": "/bytes/{n}", "limit": {"slot": 1, "qps": 1}}]
    with (
        origin() as port,
        worker(
            tmp_path,
            service("s", port, limit_mode="shadow", limit={"slot": 0, "qps": 100}, routes=routes),
            access_log=log,
        ) as running,
        Raw(running.port) as client,
    ):
        for _ in range(5):
            assert client.send(get("/s/bytes/1")).answer()[0] == 200
        marks = [line.get("would_refuse") for line in wait_for(log, 5)]
        assert marks[:2] == [None, None]
        assert marks.count("route") == running.counts()["s"]["shadow_refused:route"] >= 2


def _talk(running: WorkerProcess, chance: random.Random) -> None:
    """One connection's worth of requests, good and bad, whole and in part."""
    whole = [
        get("/s/bytes/5"),
        get("/nowhere") + b"\r\n",
        b"POST /s/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        b"POST /s/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"POST /s/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
        b"POST /limited/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /s/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nshort",
        b"POST /s/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n",
        b"GET /s/bytes/1 HTTP/9\r\n\r\n",
        b"GET /s/bytes/1 HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\nmore",
        b"POST /gone/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /half HTTP/1.1\r\nHo",
        HELLO,
    ]
    data = b"".join(chance.choices(whole, k=chance.randrange(1, 6)))
    with Raw(running.port) as client:
        at = 0
        try:
            while at < len(data):
                size = chance.choice((1, 7, 40, 1000))
                client.send(data[at : at + size])
                at += size
            if chance.random() < 0.7:
                client.socket.shutdown(1)
                client.rest()
        except OSError:
            pass  # It was refused, and the rest was not read.


@pytest.mark.parametrize("seed", [1, 2])
def test_what_the_log_says_came_in_is_what_is_metered(tmp_path: Path, seed: int) -> None:
    """The sum of `bytes_in` over all lines is the worker's ingress, whatever clients do."""
    log = tmp_path / "access.log"
    chance = random.Random(seed)
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    with (
        origin() as port,
        origin_of(silent_after(switch)) as sockets,
        worker(
            tmp_path,
            service("s", port),
            service("limited", port, limit={"slot": 0, "qps": 1}),
            service("gone", free_port()),
            service("ws", sockets.port, protocol="websocket"),
            access_log=log,
            head_timeout=0.3,
            body_timeout=0.3,
        ) as running,
    ):
        for _ in range(40):
            _talk(running, chance)
        with Raw(running.port) as client:
            upgrade = get("/ws/x", "Connection: Upgrade", "Upgrade: websocket")
            client.send(upgrade + b"with the head").head()
            client.send(b"afterwards")
            until(lambda: running.counts()["ws"]["ingress"] == len(upgrade) + 23, "it has arrived", 5)
        running.drain()
        metered = sum(cells.get("ingress", 0) for cells in running.counts().values())
        for id in ("s", "limited", "gone", "ws"):
            logged = sum(line["bytes_in"] for line in lines(log) if line["service"] == id)
            assert logged == running.counts().get(id, {}).get("ingress", 0), id
        assert sum(line["bytes_in"] for line in lines(log)) == metered > 0
