"""Trailers: which of them may go on (RFC 9110 6.5.1)."""

import pytest

from gateway.http.chunked import ChunkedDecoder, last_chunk
from gateway.http.trailers import legal_trailers


def test_what_concerns_the_content_passes_and_what_a_hop_acts_on_does_not() -> None:
    section = b"Digest: x\r\nSet-Cookie: a=1\r\nSERVER-TIMING: t\r\nConnection: close\r\nGrpc-Status: 0\r\n"
    assert legal_trailers(section) == b"Digest: x\r\nSERVER-TIMING: t\r\nGrpc-Status: 0\r\n"


@pytest.mark.parametrize("trailers", [b"", b"A: b\r\n", b"A: b\r\nC:\r\n"])
def test_trailers_written_are_trailers_read(trailers: bytes) -> None:
    decoder = ChunkedDecoder()
    assert decoder.decode(last_chunk(trailers) + b"rest") == b""
    assert (decoder.is_done, decoder.trailers, decoder.rest) == (True, trailers, b"rest")
