"""Addresses of clients, as the socket says them, and as proxies do: in every spelling there is."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.proxy.client_address import PROXIES_MAX, UNKNOWN, Address, address_text, network, peer_address, vouched_for
from tests.gateway.data_plane import Raw, WorkerProcess, service, worker
from tests.node import origin

PEER = ipaddress.ip_address("10.9.9.9")
INSIDE = ipaddress.ip_network("10.0.0.0/8")


@pytest.mark.parametrize(
    "peer, text",
    [
        ("10.0.0.1", b"10.0.0.1"),
        ("2001:DB8:0::1", b"2001:db8::1"),
        ("fe80::1%eth0", b"fe80::1"),
        ("::ffff:10.0.0.1", b"10.0.0.1"),
        ("::ffff:10.0.0.1%3", b"10.0.0.1"),
    ],
)
def test_an_address_is_read_and_written_in_its_usual_form(peer: str, text: bytes) -> None:
    for _ in range(2):
        assert peer_address(peer) == ipaddress.ip_address(text.decode())
        assert address_text(peer_address(peer)) == text


@pytest.mark.parametrize(
    "rule, read",
    [
        ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
        ("::ffff:cb00:7109", "203.0.113.9/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("::ffff:0:0:0/95", "::ffff:0:0:0/95"),
        ("64:ff9b::/96", "64:ff9b::/96"),
        ("::/0", "::/0"),
    ],
)
def test_a_rule_in_mapped_form_is_one_on_ipv4(rule: str, read: str) -> None:
    assert network(rule) == ipaddress.ip_network(read)


def found(field: bytes) -> Address:
    return vouched_for(field, lambda one: one in INSIDE, PEER)


@pytest.mark.parametrize(
    "field, address",
    [
        (b"192.0.2.1", "192.0.2.1"),
        (b"198.51.100.9, 192.0.2.1", "192.0.2.1"),
        (b"192.0.2.1, 10.0.0.1,10.0.0.2", "192.0.2.1"),
        (b"2001:db8::1, 10.0.0.1", "2001:db8::1"),
        (b"10.0.0.1", "10.0.0.1"),
        (b"10.0.0.7, 10.0.0.1", "10.0.0.7"),
        (b"unknown, 192.0.2.1, 10.0.0.1", "192.0.2.1"),
        (b"", "10.9.9.9"),
        (b" ,\t,", "10.9.9.9"),
        (b"192.0.2.1, , 10.0.0.1,,", "192.0.2.1"),
    ],
)
def test_the_last_address_that_is_no_trusted_proxys_is_the_clients(field: bytes, address: str) -> None:
    """Where all are trusted proxies, the first; where there is none at all, the peer."""
    assert found(field) == ipaddress.ip_address(address)


SPELLINGS = [
    b"203.0.113.9",
    b"203.0.113.9:5555",
    b"[::ffff:203.0.113.9]:5555",
    b"[::ffff:203.0.113.9]",
    b"::ffff:203.0.113.9",
    b"::FFFF:CB00:7109",
    b"0:0:0:0:0:ffff:203.0.113.9",
    b"::ffff:203.0.113.9%eth0",
    b'"203.0.113.9"',
    b'"203.0.113.9:5555"',
    b'"[::ffff:203.0.113.9]:5555"',
    b"\t203.0.113.9\t ",
    b"198.51.100.1, 203.0.113.9",
    b"198.51.100.1,,203.0.113.9,,",
    b"203.0.113.9:80, [::ffff:10.0.0.1]:80",
]
NOBODIES = [
    b"unknown",
    b"_hidden",
    b"192.0.2.\xff",
    b"192.0.2.1, unknown, 10.0.0.1",
    b"203.000.113.009",
    b"0xcb.0.113.9",
    b"3405803785",
    b"203.0.113",
    b"203.0.113.9:",
    b"203.0.113.9:http",
    b"203.0.113.9 198.51.100.1",
    b"203.0.113.9;x",
    b'"203.0.113.9',
    b"[203.0.113.9",
    b"[::1]]",
    b"for=203.0.113.9",
    b"0.0.0.0",
    b"::",
    b"[]",
    b'"',
    b'""',
    b"-",
    b":80",
]


@pytest.mark.parametrize("field", SPELLINGS)
def test_an_address_is_the_same_in_every_spelling(field: bytes) -> None:
    assert found(field) == ipaddress.ip_address("203.0.113.9")


@pytest.mark.parametrize(
    "field", [b"[2001:db8::1]:443", b"[2001:db8::1]", b"2001:db8:0::1", b'"[2001:db8::1]:443"', b"[2001:db8::1%25en0]"]
)
def test_so_is_one_of_ipv6(field: bytes) -> None:
    assert found(field) == ipaddress.ip_address("2001:db8::1")


@pytest.mark.parametrize("field", NOBODIES)
def test_what_is_no_address_is_nobody(field: bytes) -> None:
    assert found(field) is UNKNOWN


def test_a_chain_longer_than_any_is_nobodys() -> None:
    assert found(b"192.0.2.1" + b", 10.0.0.1" * (PROXIES_MAX - 1)) == ipaddress.ip_address("192.0.2.1")
    assert found(b"192.0.2.1" + b", 10.0.0.1" * PROXIES_MAX) is UNKNOWN


# --- by a worker


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    with (
        origin() as port,
        worker(
            tmp_path_factory.mktemp("trusting"),
            service("deny", port, deny=["203.0.113.0/24", "2001:db8::/32"]),
            service("deny-mapped", port, deny=["::ffff:203.0.113.0/120", "2001:db8::/32"]),
            service("allow", port, allow=["198.51.100.0/24", "127.0.0.0/8", "10.0.0.0/8"]),
            service("open", port),
            trusted_proxies=["::ffff:127.0.0.0/104", "10.0.0.0/8"],
        ) as made,
    ):
        yield made


def status(running: WorkerProcess, path: str, *forwarded: bytes) -> int:
    fields = b"".join(b"X-Forwarded-For: " + value + b"\r\n" for value in forwarded)
    with Raw(running.port) as client:
        client.send(b"GET /%b/bytes/1 HTTP/1.1\r\nHost: x\r\n%b\r\n" % (path.encode(), fields))
        return client.answer()[0]


@pytest.mark.parametrize("field", [*SPELLINGS, b"[2001:db8::1]:443", b"2001:db8::1%eth0"])
@pytest.mark.parametrize("path", ["deny", "deny-mapped", "allow"])
def test_no_spelling_of_an_address_leads_round_a_rule(running: WorkerProcess, path: str, field: bytes) -> None:
    assert status(running, path, field) == 403


@pytest.mark.parametrize("field", [*NOBODIES, b"192.0.2.1" + b", 10.0.0.1" * PROXIES_MAX])
@pytest.mark.parametrize("path", ["deny", "allow"])
def test_who_cannot_be_known_is_refused_where_there_is_any_rule(
    running: WorkerProcess, path: str, field: bytes
) -> None:
    assert status(running, path, field) == 403
    assert status(running, "open", field) == 200


def test_who_is_allowed_passes_in_every_spelling(running: WorkerProcess) -> None:
    for field in (b"198.51.100.7:1", b'"::ffff:198.51.100.7"', b"[::ffff:198.51.100.7]:443", b"_x, 198.51.100.7"):
        assert status(running, "allow", field) == 200
        assert status(running, "deny", field) == 200
    assert status(running, "allow") == 200


def test_the_lines_of_the_field_are_one_list(running: WorkerProcess) -> None:
    assert status(running, "deny", b"198.51.100.7", b"203.0.113.9") == 403
    assert status(running, "deny", b"203.0.113.9", b"198.51.100.7") == 200
    assert status(running, "deny", b"203.0.113.9", b"10.0.0.1") == 403


def test_an_untrusted_peer_is_not_believed(tmp_path: Path) -> None:
    with origin() as port:
        services = [service("deny", port, deny=["127.0.0.0/8"]), service("allow", port, allow=["127.0.0.1/32"])]
        with worker(tmp_path, *services, trusted_proxies=["10.0.0.0/8"]) as running:
            assert status(running, "deny", b"198.51.100.7") == 403
            assert status(running, "allow", b"203.0.113.9") == 200


def test_an_ipv4_client_of_a_dual_stack_socket_is_an_ipv4_client(tmp_path: Path) -> None:
    with origin() as port:
        services = [service("deny", port, deny=["127.0.0.0/8"]), service("allow", port, allow=["127.0.0.1/32"])]
        with worker(tmp_path, *services, is_dual_stack=True) as running:
            assert status(running, "deny") == 403
            assert status(running, "allow") == 200
