"""The chunked transfer coding, both ways (RFC 9112 7.1)."""

from __future__ import annotations

from typing import Final

from gateway.http.errors import ProtocolError
from gateway.http.grammar import CHUNK_LINE, FRAMING_FIELD, IMPOSSIBLE, TRAILER_SECTION

CHUNK_LINE_BYTES_MAX: Final = 256  # Size and extensions; nobody uses extensions but attackers.
TRAILER_BYTES_MAX: Final = 8 * 1024
LAST_CHUNK: Final = b"0\r\n\r\n"
# Of one call: some 0.3 ms. Content in chunks of one byte comes by the ten thousand with each read.
CHUNKS_TOGETHER_MAX: Final = 256


class ChunkedDecoder:
    """Feed it bytes as they come; it gives the content in them. Trailers are read, bounded, and kept as they came."""

    __slots__ = (
        "_at",
        "_buffer",
        "_in_trailers",
        "_left",
        "_needs_crlf",
        "_searched",
        "has_more",
        "is_done",
        "rest",
        "trailers",
    )

    def __init__(self) -> None:
        self.is_done = False
        self.has_more = (
            False  # Whether a call stopped at CHUNKS_TOGETHER_MAX: on with ``decode(b"")``, in another turn.
        )
        self.rest = b""  # What came after the end, once done.
        self.trailers = b""  # Whole lines, once done.
        self._buffer = b""  # What is not decoded yet, from ``_at`` on.
        self._at = 0
        self._left = 0  # Content bytes of the current chunk still to come.
        self._needs_crlf = False
        self._in_trailers = False
        self._searched = 0  # How much of the trailers was looked through.

    def decode(self, data: bytes) -> bytes:
        """The content in ``data``, or in a part of it (``has_more``).

        Raises ProtocolError (bad_request) on anything the grammar does not have.
        """
        at = 0
        if self._buffer:
            if data:
                data = self._buffer[self._at :] + data
            else:
                data, at = self._buffer, self._at  # No copy for each of the calls that one read may take.
            self._buffer, self._at = b"", 0
        content: list[bytes] = []
        chunks = 0
        self.has_more = False
        while not self.is_done:
            if self._left:
                piece = data[at : at + self._left]
                if piece:
                    content.append(piece)
                    self._left -= len(piece)
                    at += len(piece)
                if self._left:
                    break
                self._needs_crlf = True
            if self._needs_crlf:
                ending = data[at : at + 2]
                if ending != b"\r\n":
                    if ending in (b"", b"\r"):
                        self._buffer = ending
                        break
                    raise ProtocolError("bad_request", "a chunk does not end in CRLF")
                at += 2
                self._needs_crlf = False
            if chunks == CHUNKS_TOGETHER_MAX and at < len(data):
                self.has_more = True
                self._buffer, self._at = data, at
                break
            chunks += 1
            step = self._read_trailers(data, at) if self._in_trailers else self._read_size(data, at)
            if step < 0:
                self._buffer = data[at:]
                break
            at = step
        if self.is_done:
            self.rest = data[at:]
        return content[0] if len(content) == 1 else b"".join(content)

    def _read_size(self, data: bytes, at: int) -> int:
        match = CHUNK_LINE.match(data, at)
        if match is None:
            line_end = data.find(b"\n", at)
            if line_end >= 0 or len(data) - at > CHUNK_LINE_BYTES_MAX or IMPOSSIBLE.search(data, at):
                raise ProtocolError("bad_request", "malformed chunk size")
            return -1
        if match.end() - at > CHUNK_LINE_BYTES_MAX:
            raise ProtocolError("bad_request", "a chunk extension is too long")
        self._left = int(match[1], 16)
        self._in_trailers = self._left == 0
        return match.end()

    def _read_trailers(self, data: bytes, at: int) -> int:
        searched = self._searched
        most = at + TRAILER_BYTES_MAX
        if data[at : at + 2] != b"\r\n" and data.find(b"\r\n\r\n", at + max(searched - 3, 0), most) < 0:
            if len(data) > most:
                raise ProtocolError("bad_request", "the trailers are too long")
            if IMPOSSIBLE.search(data, at + max(searched - 1, 0)):
                raise ProtocolError("bad_request", "malformed trailers")
            self._searched = len(data) - at
            return -1
        match = TRAILER_SECTION.match(data, at, most)
        if match is None:
            raise ProtocolError("bad_request", "malformed trailers")
        if match[1] and FRAMING_FIELD.search(match[1]):
            # RFC 9110 6.5.1 forbids them there, and a reader that takes trailers for fields would frame by them.
            raise ProtocolError("bad_request", "framing fields among the trailers")
        self.is_done = True
        self.trailers = match[1]
        return match.end()


def last_chunk(trailers: bytes) -> bytes:
    """The end of the message, with whole lines of trailers."""
    return b"0\r\n%b\r\n" % trailers


def chunk(content: bytes) -> bytes:
    """One chunk around ``content``, which must not be empty: an empty one would end the message."""
    return b"%x\r\n%b\r\n" % (len(content), content)
