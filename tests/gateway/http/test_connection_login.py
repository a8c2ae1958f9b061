"""Which credentials and challenges are of a scheme that logs in a connection (RFC 4559)."""

import pytest

from gateway.http.connection_login import asks_for_login, is_login


@pytest.mark.parametrize("value", [b"NTLM", b"NTLM TlRM", b"ntlm\tx", b"Negotiate YII=", b"NEGOTIATE", b"Kerberos x"])
def test_credentials_that_log_in_a_connection(value: bytes) -> None:
    assert is_login(value)


@pytest.mark.parametrize("value", [b"", b"Basic NTLM", b"NTLMv2 x", b"Negotiated", b"Bearer ntlm", b"Basic x, NTLM"])
def test_credentials_that_do_not(value: bytes) -> None:
    assert not is_login(value)


@pytest.mark.parametrize(
    "value",
    [b"NTLM", b"Negotiate", b"negotiate oYG=", b'Basic realm="a", NTLM', b"Basic,NTLM,Negotiate", b"Bearer , \tntlm"],
)
def test_challenges_to_log_in_a_connection(value: bytes) -> None:
    assert asks_for_login(value)


@pytest.mark.parametrize("value", [b"", b'Basic realm="NTLM"', b"Digest ntlm", b"NTLM2", b'Bearer realm="x negotiate"'])
def test_other_challenges(value: bytes) -> None:
    assert not asks_for_login(value)
