"""TLS on an entry, over real sockets with real certificates: versions, names, client certificates, renewal."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from gateway.entry.tls import TlsSettings
from tests.certificates import Authority, Pair
from tests.gateway.data_plane import Raw, WorkerProcess, service, worker
from tests.node import origin, until

HOST = "api.example.com"
REQUEST = b"GET /open/bytes/3 HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
LEAVE = b"GET /open/bytes/3 HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with origin() as port:
        yield port


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def entry(*pairs: Pair, **changes: Any) -> dict[str, Any]:
    return {"tls": asdict(TlsSettings(tuple(pair.paths for pair in pairs), **changes))}


def ask(running: WorkerProcess, context: ssl.SSLContext, name: str = HOST) -> bytes:
    with Raw(running.port, context=context, name=name) as client:
        return client.send(LEAVE).answer()[2]


def serial_shown(running: WorkerProcess, authority: Authority, name: str | None) -> int:
    """The serial number of the certificate that a client asking for ``name`` is shown."""
    context = authority.client_context()
    context.check_hostname = False
    with Raw(running.port, context=context, name=name or "") as client:
        assert isinstance(client.socket, ssl.SSLSocket)
        shown = client.socket.getpeercert(binary_form=True)
        assert client.send(LEAVE).answer()[2] == b"xxx"
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


ONLY = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@pytest.mark.parametrize(
    "lowest, highest, accepted", [("1.2", "1.3", {"1.2", "1.3"}), ("1.3", "1.3", {"1.3"}), ("1.2", "1.2", {"1.2"})]
)
def test_an_entry_takes_the_versions_it_is_set_to(
    tmp_path: Path, upstream: int, authority: Authority, lowest: str, highest: str, accepted: set[str]
) -> None:
    tls = entry(authority.issue("server", HOST), min_version=lowest, max_version=highest)
    with worker(tmp_path, service("open", upstream), entry=tls) as running:
        for version, number in ONLY.items():
            context = authority.client_context()
            context.minimum_version = context.maximum_version = number
            if version in accepted:
                assert ask(running, context) == b"xxx"
            else:
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    ask(running, context)
        assert running.counts()["open"]["calls"] == len(accepted)
        assert running.counts()["-"] == {}  # A handshake that fails is no request.


def test_versions_before_1_2_are_refused(tmp_path: Path, upstream: int, authority: Authority) -> None:
    """RFC 8996. The ClientHello is written by hand: today's OpenSSL would not send it."""
    tls = entry(authority.issue("server", HOST))
    body = b"\x03\x02" + bytes(32) + b"\x00" + b"\x00\x04\xc0\x09\xc0\x0a" + b"\x01\x00" + b"\x00\x00"
    message = b"\x01" + len(body).to_bytes(3) + body
    with (
        worker(tmp_path, service("open", upstream), entry=tls) as running,
        Raw(running.port, b"\x16\x03\x01" + len(message).to_bytes(2) + message) as client,
    ):
        said = client.rest()
        assert said[:1] in (b"", b"\x15")  # Closed, with an alert or without.
        assert ask(running, authority.client_context()) == b"xxx"


def test_alpn_is_http_1_1(tmp_path: Path, upstream: int, authority: Authority) -> None:
    with worker(tmp_path, service("open", upstream), entry=entry(authority.issue("server", HOST))) as running:
        for offered in (["http/1.1"], ["h2", "http/1.1"]):
            context = authority.client_context()
            context.set_alpn_protocols(offered)
            with Raw(running.port, context=context, name=HOST) as client:
                assert isinstance(client.socket, ssl.SSLSocket)
                assert client.socket.selected_alpn_protocol() == "http/1.1"
                assert client.send(REQUEST).answer()[2] == b"xxx"


def test_the_name_asked_for_chooses_the_certificate(tmp_path: Path, upstream: int, authority: Authority) -> None:
    default = authority.issue("default", "first.example.com")
    exact = authority.issue("exact", "api.example.com", "www.example.com")
    wildcard = authority.issue("wildcard", "*.example.com", "*.Example.ORG")
    with worker(tmp_path, service("open", upstream), entry=entry(default, exact, wildcard)) as running:
        for name, pair in {
            "first.example.com": default,
            "api.example.com": exact,
            "API.Example.com": exact,
            "www.example.com": exact,
            "other.example.com": wildcard,
            "a.example.org": wildcard,
            "a.b.example.com": default,  # a wildcard is one label (RFC 9525 6.3)
            "example.com": default,
            "unknown.test": default,
            None: default,
        }.items():
            assert serial_shown(running, authority, name) == pair.serial, name


@pytest.mark.parametrize("version", ONLY)
@pytest.mark.parametrize("client_auth", ["required", "optional"])
def test_client_certificates(
    tmp_path: Path, upstream: int, authority: Authority, client_auth: str, version: str
) -> None:
    clients, strangers = Authority(tmp_path, "clients"), Authority(tmp_path, "strangers")
    servers = authority.issue("server", HOST), authority.issue("second", "second.example.com")
    tls = entry(*servers, client_ca=str(clients.path), client_auth=client_auth)
    with worker(tmp_path, service("open", upstream), entry=tls) as running:
        for name in (HOST, "second.example.com"):  # It holds whichever certificate the name chooses.
            for pair, is_good in (
                (clients.issue("good"), True),
                (strangers.issue("bad"), False),
                (None, client_auth == "optional"),
            ):
                context = authority.client_context(pair)
                context.minimum_version = context.maximum_version = ONLY[version]
                if is_good:
                    assert ask(running, context, name) == b"xxx"
                else:
                    # With 1.3 the client has sent its request before it learns of the refusal.
                    try:
                        content = ask(running, context, name)
                    except (ssl.SSLError, ConnectionError):
                        content = b""
                    assert content == b""
        assert running.counts()["-"].keys() <= {"egress:client:internet:wire"}, "handshakes, and no request"
        assert running.counts()["open"]["calls"] == 2 * (1 + (client_auth == "optional"))


@pytest.mark.parametrize("asks", [False, True], ids=["by itself", "asked to"])
def test_new_certificates_are_taken_up_while_connections_go_on(
    tmp_path: Path, upstream: int, authority: Authority, asks: bool
) -> None:
    first, named = authority.issue("server", HOST), authority.issue("named", "named.example.com")
    old_serials = first.serial, named.serial
    with (
        worker(tmp_path, service("open", upstream), entry=entry(first, named), idle_timeout=30.0) as running,
        Raw(running.port, context=authority.client_context(), name=HOST) as client,
    ):
        assert client.send(REQUEST).answer()[2] == b"xxx"
        authority.issue("server", HOST)
        authority.issue("named", "renamed.example.com")
        if asks:
            running.tell({"do": "certificates"})
        until(lambda: serial_shown(running, authority, HOST) == first.serial, "the new certificate is shown")
        until(lambda: serial_shown(running, authority, "renamed.example.com") == named.serial, "and the other one")
        assert serial_shown(running, authority, "named.example.com") == first.serial
        assert old_serials != (first.serial, named.serial)
        assert client.send(REQUEST).answer()[2] == b"xxx"  # the connection from before


def test_no_connection_is_lost_while_certificates_change(tmp_path: Path, upstream: int, authority: Authority) -> None:
    pair = authority.issue("server", HOST)
    context = authority.client_context()
    answers: list[bytes] = []
    is_over = threading.Event()
    with worker(tmp_path, service("open", upstream), entry=entry(pair)) as running:

        def connect_on() -> None:
            while not is_over.is_set():
                answers.append(ask(running, context))

        before = listening(running)
        with ThreadPoolExecutor(4) as clients:
            asking = [clients.submit(connect_on) for _ in range(4)]
            try:
                for count in range(1, 11):
                    authority.issue("server", HOST)
                    running.tell({"do": "certificates"})
                    until(lambda: running.log.read_text().count("its new certificates") >= count, "taken up")  # noqa: B023
            finally:
                is_over.set()
            for one in asking:
                one.result()  # Raises what a client met with.
        assert len(answers) >= 40 and set(answers) == {b"xxx"}
        assert running.counts()["open"]["calls"] == len(answers)
        until(lambda: listening(running) == before, "no listening socket is left of the servers before")


@pytest.mark.parametrize("broken", ["certificate", "key", "gone"])
def test_broken_files_leave_the_certificates_before(
    tmp_path: Path, upstream: int, authority: Authority, broken: str
) -> None:
    pair = authority.issue("server", HOST)
    serial = pair.serial
    with worker(tmp_path, service("open", upstream), entry=entry(pair)) as running:
        if broken == "certificate":
            pair.certificate.write_text("-----BEGIN CERTIFICATE-----\nhalf of it")
        elif broken == "key":
            pair.key.write_bytes(authority.issue("other").key.read_bytes())
        else:
            pair.certificate.unlink()
        until(lambda: "goes on with the certificates it has" in running.log.read_text(), "it is told")
        line = next(line for line in running.log.read_text().splitlines() if "goes on" in line)
        assert str(pair.certificate) in line
        assert serial_shown(running, authority, HOST) == serial
        assert "Traceback" not in running.log.read_text()
        fresh = authority.issue("server", HOST)
        until(lambda: serial_shown(running, authority, HOST) == fresh.serial, "good files are taken up after broken")


def test_new_client_authorities_are_taken_up(tmp_path: Path, upstream: int, authority: Authority) -> None:
    """A session from before does not carry over what its certificate is no longer good for."""
    before, after = Authority(tmp_path, "before"), Authority(tmp_path, "after")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(before.path.read_bytes())
    context = authority.client_context(before.issue("old"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # Here a client can hold on to its session with ease.
    tls = entry(authority.issue("server", HOST), client_ca=str(trusted), client_auth="required")
    with worker(tmp_path, service("open", upstream), entry=tls) as running:
        with Raw(running.port, context=context, name=HOST) as client:
            assert client.send(LEAVE).answer()[2] == b"xxx"
            assert isinstance(client.socket, ssl.SSLSocket)
            session = client.socket.session
        trusted.write_bytes(after.path.read_bytes())
        running.tell({"do": "certificates"})
        until(lambda: "serves with its new certificates" in running.log.read_text(), "it is taken up")
        assert ask(running, authority.client_context(after.issue("new"))) == b"xxx"
        with (
            socket.create_connection(("127.0.0.1", running.port), timeout=10) as plain,
            pytest.raises((ssl.SSLError, ConnectionError)),
        ):
            context.wrap_socket(plain, server_hostname=HOST, session=session)


def open_files(running: WorkerProcess) -> int:
    return len(list(Path(f"/proc/{running.process.pid}/fd").iterdir()))


def listening(running: WorkerProcess) -> int:
    """How many descriptors of the listening socket the worker has; the test has one too."""
    count = 0
    for link in Path(f"/proc/{running.process.pid}/fd").iterdir():
        try:
            count += link.readlink().name == f"socket:[{running.listening_inode()}]"
        except OSError:
            continue  # closed meanwhile
    return count


def test_handshakes_that_stall_or_fail_leak_nothing(tmp_path: Path, upstream: int, authority: Authority) -> None:
    with worker(
        tmp_path, service("open", upstream), entry=entry(authority.issue("server", HOST)), head_timeout=0.5
    ) as running:
        assert ask(running, authority.client_context()) == b"xxx"
        before = until(lambda: open_files(running), "its descriptors")
        stalled = [Raw(running.port, first) for first in (b"", b"\x16\x03\x01\x02\x00\x01") for _ in range(10)]
        failed = [Raw(running.port, b"\x80 no handshake\r\n\r\n") for _ in range(10)]
        for client in failed + stalled:  # Each is closed by the worker; nothing but alerts comes.
            try:
                assert client.rest()[:1] in (b"", b"\x15")
            except ConnectionError:
                pass
            client.close()
        until(lambda: open_files(running) <= before, "as many descriptors as before")
        assert ask(running, authority.client_context()) == b"xxx"
        assert running.counts()["-"].keys() <= {"egress:client:internet:wire"}, "handshakes, and no request"
        assert running.counts()["open"]["calls"] == 2


def test_a_client_that_closes_its_side_is_gone(tmp_path: Path, upstream: int, authority: Authority) -> None:
    """RFC 8446 6.1 lets the other side go on; the loop closes both. Clients cannot fill the log with it."""
    with worker(tmp_path, service("open", upstream), entry=entry(authority.issue("server", HOST))) as running:
        with Raw(running.port, context=authority.client_context(), name=HOST) as client:
            assert isinstance(client.socket, ssl.SSLSocket)
            client.send(b"GET /open/slow/1 HTTP/1.1\r\nHost: x\r\n\r\n")
            until(lambda: running.counts()["open"].get("calls"), "the call is under way")
            with suppress(OSError):
                client.socket.unwrap().close()
        until(lambda: running.counts()["open"].get("duration_sum_us"), "the exchange has ended")
        assert ask(running, authority.client_context()) == b"xxx"
        assert running.log.read_text() == ""


def some(client: Raw) -> bytes:
    data = client.socket.recv(65536)
    assert data, "the worker closed the connection"
    return data


def test_a_drain_waits_for_a_handshake_under_way(tmp_path: Path, upstream: int, authority: Authority) -> None:
    """No connection attempt is lost: what was accepted is answered, by a connection that closes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with (
        worker(tmp_path, service("open", upstream), entry=entry(authority.issue("server", HOST))) as running,
        Raw(running.port) as client,
    ):
        tls = authority.client_context().wrap_bio(incoming, outgoing, server_hostname=HOST)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        client.send(outgoing.read())
        incoming.write(some(client))  # The worker has begun its side.
        running.process.terminate()
        until(lambda: listening(running) == 0, "the worker accepts no more")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(some(client))
        tls.write(REQUEST)
        client.send(outgoing.read())
        answer = b""
        while b"\r\n\r\nxxx" not in answer:
            incoming.write(some(client))
            try:
                answer += tls.read(65536)
            except ssl.SSLWantReadError:
                continue
        assert b"Connection: close" in answer
        assert running.process.wait(10) == 0


def test_a_worker_that_cannot_open_a_certificate_says_so_and_ends(tmp_path: Path, authority: Authority) -> None:
    pair = authority.issue("server", HOST)
    pair.key.unlink()
    with pytest.raises(AssertionError, match=r"entry cannot be served: .*server\.key: cannot be read: No such file"):
        WorkerProcess(tmp_path, [], {}, entry=entry(pair))
    assert "Traceback" not in (tmp_path / "worker.log").read_text()
