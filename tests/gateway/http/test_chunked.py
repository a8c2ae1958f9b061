"""The chunked coding, whole, byte by byte and split at every boundary (RFC 9112 7.1)."""

import time

import pytest

from gateway.http.chunked import CHUNKS_TOGETHER_MAX, LAST_CHUNK, TRAILER_BYTES_MAX, ChunkedDecoder, chunk
from gateway.http.errors import ProtocolError

GOOD = [
    pytest.param(b"5\r\nhello\r\n0\r\n\r\n", b"hello", id="one chunk"),
    pytest.param(b"0\r\n\r\n", b"", id="empty"),
    pytest.param(b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc", id="two chunks"),
    pytest.param(b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", id="upper-case hex"),
    pytest.param(b"1;x=y\r\na\r\n0;z\r\n\r\n", b"a", id="7.1.1 extensions"),
    pytest.param(b'1;x="y;\\"z";w\r\na\r\n0\r\n\r\n', b"a", id="7.1.1 quoted extension"),
    pytest.param(b"1\r\na\r\n0\r\nX: y\r\nZ: w\r\n\r\n", b"a", id="7.1.2 trailers"),
    pytest.param(b"0001\r\na\r\n000\r\n\r\n", b"a", id="leading zeros"),
]


def decode(pieces: list[bytes]) -> tuple[bytes, ChunkedDecoder]:
    decoder = ChunkedDecoder()
    content = b""
    for piece in pieces:
        if decoder.is_done:
            decoder.rest += piece
        else:
            content += decoder.decode(piece)
            while decoder.has_more:
                content += decoder.decode(b"")
    return content, decoder


@pytest.mark.parametrize("data, content", GOOD)
def test_content_is_the_same_however_it_is_split(data: bytes, content: bytes) -> None:
    data += b"NEXT"
    splits = [[data], [data[i : i + 1] for i in range(len(data))]]
    splits += [[data[:i], data[i:]] for i in range(1, len(data))]
    for pieces in splits:
        found, decoder = decode(pieces)
        assert (found, decoder.is_done, decoder.rest) == (content, True, b"NEXT"), pieces


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"g\r\n", id="not hex"),
        pytest.param(b"-1\r\n", id="sign"),
        pytest.param(b"0x5\r\n", id="0x"),
        pytest.param(b" 5\r\n", id="leading space"),
        pytest.param(b"5 \r\nhello\r\n", id="trailing space"),
        pytest.param(b"\r\n", id="no size"),
        pytest.param(b"5\nhello\n", id="bare LF"),
        pytest.param(b"5\r\nhelloX\r\n", id="longer than its size"),
        pytest.param(b"1" * 16 + b"\r\n", id="size overflows"),
        pytest.param(b"5;" + b"x" * 300 + b"\r\n", id="extension too long"),
        pytest.param(b"5 ;x\r\nhello\r\n", id="7.1.1 space before an extension"),
        pytest.param(b"5;\r\nhello\r\n", id="7.1.1 extension without a name"),
        pytest.param(b"5;x=\r\nhello\r\n", id="7.1.1 extension without its value"),
        pytest.param(b'5;x="y\r\nhello\r\n', id="7.1.1 open quote"),
        pytest.param(b"0\r\nbad trailer\r\n\r\n", id="trailer without colon"),
        pytest.param(b"0\r\nX: y\r\nContent-Length: 5\r\n\r\n", id="9110-6.5.1 a length among the trailers"),
        pytest.param(b"0\r\nTransfer-encoding: x\r\n\r\n", id="9110-6.5.1 a coding among the trailers"),
        pytest.param(b"0\r\nHost: x\r\n\r\n", id="9110-6.5.1 Host among the trailers"),
        pytest.param(b"0\r\n" + b"A: b\r\n" * 2000 + b"\r\n", id="trailers too long"),
    ],
)
def test_a_malformed_chunk_is_refused(data: bytes) -> None:
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        with pytest.raises(ProtocolError):
            decode([*pieces, b"\r\n\r\n"])


def test_what_is_encoded_is_decoded() -> None:
    content, decoder = decode([chunk(b"x" * 300) + chunk(b"y") + LAST_CHUNK])
    assert content == b"x" * 300 + b"y"
    assert decoder.is_done


def test_one_call_decodes_so_many_chunks_and_no_more() -> None:
    """A read of 256 KiB may hold 43,000 of one byte: what is left is for the next calls."""
    decoder = ChunkedDecoder()
    data = b"1\r\nx\r\n" * (3 * CHUNKS_TOGETHER_MAX) + LAST_CHUNK + b"NEXT"
    pieces = [decoder.decode(data)]
    while decoder.has_more:
        pieces.append(decoder.decode(b""))
    assert [len(piece) for piece in pieces] == [CHUNKS_TOGETHER_MAX] * 3 + [0]
    assert decoder.is_done
    assert decoder.rest == b"NEXT"


def test_what_comes_while_a_call_has_left_something_follows_it() -> None:
    decoder = ChunkedDecoder()
    content = decoder.decode(b"1\r\na\r\n" * (CHUNKS_TOGETHER_MAX + 5) + b"2\r\n")
    assert decoder.has_more
    content += decoder.decode(b"bc\r\n" + LAST_CHUNK)
    while decoder.has_more:
        content += decoder.decode(b"")
    assert content == b"a" * (CHUNKS_TOGETHER_MAX + 5) + b"bc"
    assert decoder.is_done


def test_trailers_that_come_byte_by_byte_are_looked_through_once() -> None:
    """All of them together: four times as many bytes take some four times as long, not sixteen times."""

    def seconds(size: int) -> float:
        line = b"A: b\r\n" * (size // 6)
        best = 1e9
        for _ in range(3):
            decoder = ChunkedDecoder()
            assert decoder.decode(b"0\r\n") == b""
            began = time.process_time()
            for at in range(len(line)):
                decoder.decode(line[at : at + 1])
            best = min(best, time.process_time() - began)
        return best

    assert seconds(TRAILER_BYTES_MAX - 8) < 9 * seconds(TRAILER_BYTES_MAX // 4)
