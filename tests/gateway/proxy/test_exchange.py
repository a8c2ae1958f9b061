"""Exchanges through a real worker over real sockets: what a client sees, what an upstream sees, what is counted."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.data_plane import Raw, WorkerProcess, instance, service, worker
from tests.node import free_port, origin, until

KEY = "s3cret-key"
CAP = 64 * 1024


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with origin() as port:
        yield port


@pytest.fixture
def running(tmp_path: Path, upstream: int) -> Iterator[WorkerProcess]:
    auth = {
        "header": "X-Api-Key",
        "strip": True,
        "keys": [{"id": "k", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}],
    }
    routes: list[dict[str, Any]] = [
        {"id": "list", "methods": ["GET"], "path": "/bytes/{n}", "limit": None},
        {"id": "put", "methods": ["PUT"], "path": "/echo", "limit": None},
    ]
    with worker(
        tmp_path,
        service("open", upstream),
        service("keyed", upstream, auth=auth),
        service("routed", upstream, routes=routes),
        service("denied", upstream, deny=["127.0.0.0/8"]),
        service("socket", upstream, protocol="websocket"),
        service("gone", free_port(), upstream={"retries": 0}),
        service("limited", upstream, limit={"slot": 0, "qps": 1}),
        one=instance(body_max=CAP),
    ) as made:
        yield made


def get(path: str, *fields: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *fields, "", ""]).encode()


def post(path: str, content: bytes, *fields: str) -> bytes:
    return (
        "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(content)}", *fields, "", ""]).encode()
        + content
    )


def test_many_requests_over_one_connection_are_answered_in_order(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        client.send(b"".join(get(f"/open/bytes/{n}") for n in range(50)))
        assert [len(client.answer()[2]) for _ in range(50)] == list(range(50))
    assert running.counts()["open"]["calls"] == 50


def test_a_request_is_the_same_however_it_is_split(running: WorkerProcess) -> None:
    content = b"0123456789" * 20
    whole = post("/open/echo", content)
    with Raw(running.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in whole:
            client.send(bytes([byte]))
        assert client.answer()[2] == content
        for at in range(1, len(whole), 7):
            client.send(whole[:at])
            client.send(whole[at:])
            assert client.answer()[2] == content


def test_chunked_content_arrives_as_it_was(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        client.send(b"POST /open/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        client.send(b"6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n" + get("/open/bytes/3"))
        assert client.answer()[2] == b"hello world"
        assert client.answer()[2] == b"xxx"


def test_a_large_chunked_answer_is_reframed(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        status, fields, content = client.send(get("/open/chunked/300000")).answer()
        assert (status, fields["transfer-encoding"], len(content)) == (200, "chunked", 300_000)
        assert len(client.send(get("/open/bytes/9")).answer()[2]) == 9


def test_an_http_1_0_client_gets_no_chunks_and_a_close(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        client.send(b"GET /open/chunked/1000 HTTP/1.0\r\nHost: x\r\n\r\n")
        status, fields, content = client.answer()
        assert "transfer-encoding" not in fields
        assert (status, fields["connection"], len(content)) == (200, "close", 1000)


def test_head_204_and_304_have_no_content(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        client.send(b"HEAD /open/bytes/77 HTTP/1.1\r\nHost: x\r\n\r\n" + get("/open/status/304") + get("/open/bytes/1"))
        assert client.answer(to_head=True)[1]["content-length"] == "77"
        assert client.answer()[0] == 304
        assert client.answer()[2] == b"x"


def test_what_the_upstream_is_sent(running: WorkerProcess) -> None:
    """RFC 9110 7.6: Via, forwarding fields, and no hop-by-hop ones; DESIGN 1.5."""
    with Raw(running.port) as client:
        fields = [
            "Connection: x-hop",
            "X-Hop: 1",
            "X-Forwarded-For: 9.9.9.9",
            "X-Forwarded-Proto: https",
            "X-Request-Id: mine",
        ]
        _, answered, content = client.send(get("/keyed/head?a=1", f"X-Api-Key: {KEY}", *fields)).answer()
    seen = json.loads(content)
    upstream = {name.lower(): value for name, value in seen["fields"]}
    assert seen["target"] == "/head?a=1"
    assert upstream["x-forwarded-for"] == "9.9.9.9, 127.0.0.1"
    assert upstream["x-forwarded-proto"] == "http"
    assert upstream["x-forwarded-host"] == "x"
    assert upstream["via"] == "1.1 tollgate"
    assert upstream["x-request-id"] == answered["x-request-id"] == "mine"
    assert "x-hop" not in upstream
    assert "connection" not in upstream
    assert "x-api-key" not in upstream, "strip: true"


@pytest.mark.parametrize(
    "request_bytes, status, code, label",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, "bad_request", "-", id="400"),
        pytest.param(b"GET / HTTP/1.1\nHost: x\n\n", 400, "bad_request", "-", id="400 bare LF"),
        pytest.param(get("/open/../../x"), 400, "bad_request", "-", id="400 path"),
        pytest.param(get("/keyed/bytes/1"), 401, "unauthorized", "keyed", id="401 no key"),
        pytest.param(get("/keyed/bytes/1", "X-Api-Key: wrong"), 401, "unauthorized", "keyed", id="401 wrong key"),
        pytest.param(
            get("/keyed/bytes/1", f"X-Api-Key: {KEY}", f"X-Api-Key: {KEY}"),
            401,
            "unauthorized",
            "keyed",
            id="401 two keys",
        ),
        pytest.param(get("/denied/bytes/1"), 403, "forbidden", "denied", id="403"),
        pytest.param(get("/nowhere"), 404, "no_route", "-", id="404 no service"),
        pytest.param(get("/routed/other"), 404, "no_route", "routed", id="404 no route"),
        pytest.param(post("/routed/bytes/1", b""), 405, "method_not_allowed", "routed", id="405"),
        pytest.param(get("/socket/ws"), 426, "upgrade_required", "socket", id="426"),
        pytest.param(post("/open/echo", b"x" * (CAP + 1)), 413, "body_too_large", "open", id="413"),
        pytest.param(get("/open/" + "x" * 9000), 414, "uri_too_long", "-", id="414"),
        pytest.param(get("/open/x", "A: " + "x" * 40_000), 431, "head_too_large", "-", id="431"),
        pytest.param(
            b"POST /open/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
            "not_implemented",
            "-",
            id="501",
        ),
    ],
)
def test_a_refusal_is_problem_json_and_a_front_end_error(
    running: WorkerProcess, request_bytes: bytes, status: int, code: str, label: str
) -> None:
    with Raw(running.port) as client:
        found, fields, content = client.send(request_bytes).answer()
        assert (found, fields["content-type"]) == (status, "application/problem+json")
        problem = json.loads(content)
        assert problem["type"] == f"urn:tollgate:{code}"
        assert problem["status"] == status
        assert problem["request_id"] == fields["x-request-id"]
        if status == 405:
            assert fields["allow"] == "GET, HEAD"
        if status == 426:
            assert fields["upgrade"] == "websocket"
        if status in (400, 413, 414, 431, 501):
            assert fields["connection"] == "close"
            assert client.rest() == b""
        counts = running.counts()
        assert counts[label][f"frontend_error:{code}"] == 1
        side, other = ("client", "refused") if label == "-" else ("refused", "client")
        assert counts[label][f"egress:{side}:internet:application"] == client.bytes_read
        assert not any(meter.startswith(f"egress:{other}") for meters in counts.values() for meter in meters)
    assert not any("calls" in meters for meters in counts.values())


def test_a_chunked_body_is_refused_when_it_passes_the_cap(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        client.send(b"POST /open/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"%x\r\n" % (CAP + 1) + b"x" * (CAP + 1) + b"\r\n")
        assert client.answer()[0] == 413
    assert running.counts()["open"].get("calls") is None


def test_a_dead_upstream_is_a_bad_gateway_and_a_call(running: WorkerProcess) -> None:
    """B5: what failed behind the gateway is valid all the same."""
    with Raw(running.port) as client:
        assert client.send(get("/gone/x")).answer()[0] == 502
        assert client.send(get("/open/bytes/1")).answer()[0] == 200, "the connection goes on"
    assert running.counts()["gone"]["backend_error:bad_gateway"] == 1
    assert running.counts()["gone"]["calls"] == 1


def test_an_answer_cut_short_upstream_is_cut_short_here(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        status, fields = client.send(get("/open/cut/500")).head()
        assert (status, fields["content-length"]) == (200, "501")
        with pytest.raises((ConnectionResetError, AssertionError)):
            client._exactly(501)
    assert running.counts()["open"]["backend_error:bad_gateway"] == 1


def test_over_the_limit_is_429_with_the_level_and_a_wait(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        answers = [client.send(get("/limited/bytes/1")).answer() for _ in range(6)]
    refused = [answer for answer in answers if answer[0] == 429]
    assert 3 <= len(refused) <= 4, "1 a second and a burst of 1, plus 1"
    _, fields, content = refused[0]
    assert int(fields["retry-after"]) >= 1
    assert "service" in json.loads(content)["detail"]
    assert fields["ratelimit-policy"] == '"service";q=1;w=1'
    assert fields["ratelimit"] == '"service";r=0;t=1'
    counts = running.counts()["limited"]
    assert counts["calls"] + counts["frontend_error:rate_limited"] == 6
    assert counts["frontend_error:rate_limited"] == len(refused)


def test_bytes_counted_are_the_bytes_on_the_sockets(running: WorkerProcess, upstream: int) -> None:
    sent = get("/open/bytes/1000") + post("/open/echo", b"y" * 500)
    with Raw(running.port) as client:
        client.send(sent)
        client.answer()
        client.answer()
        counts = running.counts()["open"]
        assert counts["egress:client:internet:application"] == client.bytes_read
        assert counts["ingress"] == len(sent)


def test_bytes_to_the_upstream_are_counted(tmp_path: Path) -> None:
    received = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                data = b""
                while not data.endswith(b"abcde"):
                    data += connection.recv(65536)
                received.append(data)
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                connection.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        with worker(tmp_path, service("a", listening.getsockname()[1])) as running, Raw(running.port) as client:
            assert client.send(post("/a/x", b"abcde")).answer()[0] == 204
            assert running.counts()["a"]["egress:backend:vpc:application"] == len(received[0])
        thread.join()


def test_a_suspended_account_is_refused_and_its_bytes_are_nobodys(tmp_path: Path, upstream: int) -> None:
    """X15, B49."""
    with (
        worker(tmp_path, service("a", upstream), one=instance(serving=False)) as running,
        Raw(running.port) as client,
    ):
        assert client.send(get("/a/bytes/1")).answer()[0] == 402
        counts = running.counts()
        assert counts["a"]["frontend_error:account_suspended"] == 1
        assert "egress:client:internet:application" not in counts["a"]
        running.apply([service("a", upstream)], {"one": instance(serving=True)})
        assert client.send(get("/a/bytes/1")).answer()[0] == 200, "the same connection, the next snapshot"


def test_stalled_heads_and_contents_time_out(running: WorkerProcess) -> None:
    with Raw(running.port) as head, Raw(running.port) as content, Raw(running.port) as silent:
        head.send(b"GET / HT")
        content.send(b"POST /open/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
        assert head.answer()[0] == 408
        assert content.answer()[0] == 408
        assert silent.rest() == b"", "closed without an answer"
    counts = running.counts()
    assert counts["-"]["frontend_error:request_timeout"] == 1
    assert counts["open"]["frontend_error:request_timeout"] == 1
    assert "calls" not in counts["open"]


def test_a_websocket_is_tunnelled_and_is_no_call(running: WorkerProcess) -> None:
    """B6."""
    with Raw(running.port) as client:
        client.send(
            get(
                "/socket/ws",
                "Connection: Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            )
        )
        assert client.head()[0] == 101
        client.send(b"\x81\x85\x00\x00\x00\x00hello")  # RFC 6455 5.2: a masked text frame, mask 0
        assert client._exactly(7) == b"\x81\x05hello"
    counts = until(
        lambda: running.counts() if "websocket_connections" in running.counts().get("socket", {}) else None, "counted"
    )
    assert counts["socket"]["websocket_connections"] == 1
    assert "calls" not in counts["socket"]


def test_a_drained_worker_finishes_what_is_in_flight(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        client.send(get("/open/slow/0.5"))
        until(lambda: running.counts().get("open", {}).get("calls"), "the request is under way")
        thread = threading.Thread(target=running.drain)
        thread.start()
        status, fields, content = client.answer()
        assert (status, content, fields["connection"]) == (200, b"at last\n", "close")
        thread.join()
    assert running.process.returncode == 0


def test_a_connection_at_rest_is_told_to_close_before_it_is_closed(running: WorkerProcess) -> None:
    """A request that was on its way when the drain began is answered, and says that it was the last one."""
    with Raw(running.port) as client, Raw(running.port) as silent:
        assert client.send(get("/open/bytes/1")).answer()[0] == 200
        thread = threading.Thread(target=running.drain)
        thread.start()
        until(lambda: not is_listening(running), "the worker has stopped accepting", 5)
        status, fields, _ = client.send(get("/open/bytes/1")).answer()
        assert (status, fields["connection"]) == (200, "close")
        assert client.rest() == b""
        assert silent.send(get("/open/bytes/1")).answer()[0] == 200, "a new connection is at rest, too"
        thread.join()
    assert running.process.returncode == 0


def test_a_connection_that_asks_nothing_more_is_closed_when_the_drain_time_ends(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        assert client.send(get("/open/bytes/1")).answer()[0] == 200
        assert running.drain() == 0
        assert client.rest() == b""


def is_listening(running: WorkerProcess) -> bool:
    """Whether the worker itself has its listening socket open: the test holds it, too."""
    inode = f"socket:[{os.fstat(running.listening_fd).st_ino}]"
    for fd in Path(f"/proc/{running.process.pid}/fd").iterdir():
        try:
            if str(fd.readlink()) == inode:
                return True
        except FileNotFoundError:
            continue
    return False


def test_kill_9_loses_no_completed_call(running: WorkerProcess) -> None:
    """Every answer a client got before the kill is in the file the dead worker leaves behind."""
    completed = 0
    for round_number in range(3):
        with Raw(running.port) as client:
            for _ in range(200 + round_number):
                assert client.send(get("/open/bytes/10")).answer()[0] == 200
                completed += 1
            running.kill()
        running.start()
    assert running.counts()["open"]["calls"] == completed
