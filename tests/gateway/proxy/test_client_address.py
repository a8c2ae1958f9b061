"""Addresses of clients, as the socket says them."""

import ipaddress

import pytest

from gateway.proxy.client_address import address_text, peer_address


@pytest.mark.parametrize(
    "peer, text", [("10.0.0.1", b"10.0.0.1"), ("2001:DB8:0::1", b"2001:db8::1"), ("fe80::1%eth0", b"fe80::1")]
)
def test_an_address_is_read_and_written_in_its_usual_form(peer: str, text: bytes) -> None:
    for _ in range(2):
        assert peer_address(peer) == ipaddress.ip_address(text.decode())
        assert address_text(peer_address(peer)) == text
