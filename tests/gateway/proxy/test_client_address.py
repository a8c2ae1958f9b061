"""Addresses of clients, as the socket says them."""

import ipaddress

import pytest

from gateway.proxy.client_address import address_text, peer_address, vouched_for


@pytest.mark.parametrize(
    "peer, text", [("10.0.0.1", b"10.0.0.1"), ("2001:DB8:0::1", b"2001:db8::1"), ("fe80::1%eth0", b"fe80::1")]
)
def test_an_address_is_read_and_written_in_its_usual_form(peer: str, text: bytes) -> None:
    for _ in range(2):
        assert peer_address(peer) == ipaddress.ip_address(text.decode())
        assert address_text(peer_address(peer)) == text


@pytest.mark.parametrize(
    "field, address",
    [
        (b"192.0.2.1", "192.0.2.1"),
        (b"198.51.100.9, 192.0.2.1", "192.0.2.1"),
        (b"192.0.2.1, 10.0.0.1,10.0.0.2", "192.0.2.1"),
        (b"2001:db8::1, 10.0.0.1", "2001:db8::1"),
        (b"10.0.0.1", None),
        (b"192.0.2.1, unknown, 10.0.0.1", None),
        (b"192.0.2.1:80", None),
        (b"192.0.2.\xff", None),
        (b"", None),
    ],
)
def test_the_last_address_that_is_no_trusted_proxys_is_the_clients(field: bytes, address: str | None) -> None:
    proxies = ipaddress.ip_network("10.0.0.0/8")
    found = vouched_for(field, lambda one: one in proxies)
    assert found == (None if address is None else ipaddress.ip_address(address))
