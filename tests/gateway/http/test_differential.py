"""Where the gateway and the oracles differ, it is the gateway that refuses; each such place is shown here.

That it never takes what they refuse, nor reads it otherwise, is checked by `tests/fuzz`.
"""

from __future__ import annotations

import h11
import httptools
import pytest

from gateway.http.errors import ProtocolError
from tests.fuzz.oracles import STRICTER, gateway_request, h11_request, llhttp_request


def is_taken_by_an_oracle(data: bytes) -> bool:
    for read in (h11_request, llhttp_request):
        try:
            read(data)
        except (h11.ProtocolError, httptools.HttpParserError, AssertionError):
            continue
        return True
    return False


@pytest.mark.parametrize("name", STRICTER)
def test_the_gateway_is_stricter(name: str) -> None:
    data, _ = STRICTER[name]
    with pytest.raises(ProtocolError):
        gateway_request(data)


@pytest.mark.parametrize("name", STRICTER)
def test_than_an_oracle_that_takes_it(name: str) -> None:
    data, _ = STRICTER[name]
    assert is_taken_by_an_oracle(data), "not an exception any more: take it from the table"
