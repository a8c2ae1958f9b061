"""Who logs in a connection to an upstream (NTLM, Negotiate) logs in nobody else: it is lent to no other client."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.data_plane import Raw, WorkerProcess, instance, service, worker
from tests.gateway.proxy.origins import Origin, origin_of, read_head
from tests.node import until


class LoggedIn:
    """An upstream whose connections have users: `Authorization: <scheme> <name>` makes one the connection's."""

    def __init__(self, challenges: str = "WWW-Authenticate: NTLM", *, greets: bool = True) -> None:
        self.challenges, self.greets = challenges, greets

    def serve(self, connection: socket.socket) -> None:
        user = ""
        while head := read_head(connection).decode():
            for line in head.split("\r\n"):
                name, _, value = line.partition(": ")
                if name.lower() == "authorization":
                    user = value.partition(" ")[2]
            content = user or "nobody"
            status = "200 OK" if user or not self.greets else "401 Unauthorized"
            fields = f"{self.challenges}\r\n" if self.greets and not user else ""
            connection.sendall(f"HTTP/1.1 {status}\r\n{fields}Content-Length: {len(content)}\r\n\r\n{content}".encode())
            if "/close" in head:
                return


@pytest.fixture
def ntlm() -> Iterator[Origin]:
    with origin_of(LoggedIn().serve) as made:
        yield made


@pytest.fixture
def running(tmp_path: Path, ntlm: Origin) -> Iterator[WorkerProcess]:
    with worker(tmp_path, service("s", ntlm.port), service("t", ntlm.port)) as made:
        yield made


def ask(client: Raw, *fields: str, path: str = "/s/x") -> tuple[int, str]:
    client.send("\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *fields, "", ""]).encode())
    status, _, content = client.answer()
    return status, content.decode()


def test_a_login_is_its_clients_and_no_others(running: WorkerProcess) -> None:
    with Raw(running.port) as alice, Raw(running.port) as bob:
        assert ask(alice) == (401, "nobody")
        assert ask(alice, "Authorization: NTLM alice") == (200, "alice")
        for _ in range(3):
            assert ask(bob) == (401, "nobody")
            assert ask(alice) == (200, "alice")  # One connection, from the challenge on.
        assert ask(bob, "Authorization: NTLM bob") == (200, "bob")
        assert (ask(alice), ask(bob)) == ((200, "alice"), (200, "bob"))
        # Another service at the same address, which would share the pool.
        assert ask(alice, path="/t/x") == (401, "nobody")
        assert ask(alice) == (200, "alice")


def test_a_login_ends_with_its_client(running: WorkerProcess, ntlm: Origin) -> None:
    with Raw(running.port) as alice:
        assert ask(alice, "Authorization: NTLM alice") == (200, "alice")
        assert ask(alice, "Authorization: NTLM alice", path="/t/x") == (200, "alice")
        assert len(ntlm.connections) == 2
    until(lambda: not ntlm.connections, "what it had logged in is closed")
    with Raw(running.port) as bob:
        assert ask(bob) == (401, "nobody")


@pytest.mark.parametrize("last", ["Connection: close", "Connection: keep-alive"])
def test_a_login_by_the_clients_last_request_ends_too(running: WorkerProcess, ntlm: Origin, last: str) -> None:
    with Raw(running.port) as alice:
        assert ask(alice, "Authorization: NTLM alice", last) == (200, "alice")
    with Raw(running.port) as bob:
        assert ask(bob) == (401, "nobody")


@pytest.mark.parametrize("scheme", ["NTLM", "ntlm", "Negotiate", "NEGOTIATE", "Kerberos"])
def test_an_upstream_need_not_say_that_it_was_logged_in(tmp_path: Path, scheme: str) -> None:
    """A client may begin with its credentials, and an answer of 200 shows nothing of it."""
    with (
        origin_of(LoggedIn(greets=False).serve) as origin,
        worker(tmp_path, service("s", origin.port)) as running,
        Raw(running.port) as alice,
        Raw(running.port) as bob,
    ):
        assert ask(alice, f"Authorization: {scheme} alice") == (200, "alice")
        assert ask(bob) == (200, "nobody")
        assert ask(alice) == (200, "alice")


@pytest.mark.parametrize(
    "challenges",
    [
        "WWW-Authenticate: ntlm",
        "WWW-Authenticate: Negotiate",
        'WWW-Authenticate: Basic realm="a", NTLM',
        "WWW-Authenticate: Basic\r\nwww-authenticate: Negotiate\r\nWWW-Authenticate: NTLM",
    ],
)
def test_a_challenged_connection_stays_with_who_was_challenged(tmp_path: Path, challenges: str) -> None:
    """The challenge is of the connection: the answer to it has to come by the same."""
    with (
        origin_of(LoggedIn(challenges).serve) as origin,
        worker(tmp_path, service("s", origin.port)) as running,
        Raw(running.port) as alice,
        Raw(running.port) as bob,
    ):
        assert ask(alice)[0] == 401
        assert ask(bob)[0] == 401
        assert len(origin.peers) == 2


@pytest.mark.parametrize("fields", [(), ("Authorization: Basic x",), ("Authorization: Bearer NTLM",)])
def test_other_connections_are_shared_as_ever(tmp_path: Path, fields: tuple[str, ...]) -> None:
    upstream = LoggedIn('WWW-Authenticate: Basic realm="NTLM"')
    with origin_of(upstream.serve) as origin, worker(tmp_path, service("s", origin.port)) as running:
        for _ in range(4):
            with Raw(running.port) as client:
                ask(client, *fields)
        assert len(origin.peers) == 1


def test_an_upstream_that_closes_is_logged_in_to_anew(running: WorkerProcess, ntlm: Origin) -> None:
    with Raw(running.port) as alice:
        assert ask(alice, "Authorization: NTLM alice", path="/s/close") == (200, "alice")
        until(lambda: not ntlm.connections, "it is closed")
        assert ask(alice) == (401, "nobody")
        assert ask(alice, "Authorization: NTLM alice") == (200, "alice")
        assert ask(alice) == (200, "alice")


@pytest.mark.parametrize("balance", ["round_robin", "least_outstanding"])
def test_whatever_the_balance_it_stays_with_its_target(tmp_path: Path, balance: str) -> None:
    with origin_of(LoggedIn().serve) as one, origin_of(LoggedIn().serve) as two:
        targets = [{"url": f"http://127.0.0.1:{port}", "weight": 1, "network": "vpc"} for port in (one.port, two.port)]
        shared = service("s", 0, upstream={"targets": targets, "balance": balance})
        with worker(tmp_path, shared) as running, Raw(running.port) as alice:
            assert ask(alice) == (401, "nobody")
            assert ask(alice, "Authorization: NTLM alice") == (200, "alice")
            assert [ask(alice) for _ in range(4)] == [(200, "alice")] * 4


def test_a_target_that_a_snapshot_took_away_is_not_gone_back_to(running: WorkerProcess, ntlm: Origin) -> None:
    with origin_of(LoggedIn().serve) as other, Raw(running.port) as alice:
        assert ask(alice, "Authorization: NTLM alice") == (200, "alice")
        running.apply([service("s", other.port)], {"one": instance()})
        until(lambda: not ntlm.connections, "the one before is closed")
        assert ask(alice) == (401, "nobody")
