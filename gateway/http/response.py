"""An upstream's answer head: parsed as strictly as a request's, and reduced to what goes to the client."""

from __future__ import annotations

import re
from typing import Final

from gateway.http.errors import ProtocolError
from gateway.http.fields import without_fields
from gateway.http.grammar import IMPOSSIBLE, RESPONSE_HEAD

CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2
RESPONSE_HEAD_BYTES_MAX: Final = 64 * 1024  # Twice a request's: cookies and policies make answers' heads long.

STATUS_LINES_MAX: Final = 256
# Status and reason as received, to what is made of them: answers repeat a few (0.3 us an answer).
_STATUS_LINES: dict[bytes, tuple[int, bytes]] = {}
_KNOWN_FIELD = re.compile(
    rb"\n(content-length|connection|transfer-encoding|keep-alive|proxy-connection|proxy-authenticate|upgrade|"
    rb"trailer|te|x-request-id|ratelimit|ratelimit-policy):([^\r]*+)"
)


class ResponseHead:
    """One per upstream connection, filled anew by each answer. ``status_line`` ends in CRLF, ``fields`` too."""

    __slots__ = ("fields", "framing", "is_dated", "keeps_alive", "status", "status_line", "upgrade")

    def __init__(self) -> None:
        self.status = 0
        self.status_line = b""
        self.fields = b""
        self.framing = 0  # content bytes, CHUNKED or UNTIL_CLOSE
        self.keeps_alive = True
        self.upgrade = b""
        # Whether a final answer on this connection had a Date. Looked for until then: an upstream that has a clock
        # sends it always (RFC 9110 6.6.1), and need not be looked through for it with each answer.
        self.is_dated = False

    def parse(self, data: bytes, *, to_head_request: bool) -> int:
        """Reads one head; returns its length, 0 while it is not whole. Raises ProtocolError (bad_gateway)."""
        match = RESPONSE_HEAD.match(data)
        if match is None:
            # A partial head is refused as soon as it cannot become one: waiting would turn a 502 into a late 504.
            if (
                b"\r\n\r\n" in data
                or len(data) > RESPONSE_HEAD_BYTES_MAX
                or not data.startswith(b"HTTP/1."[: len(data)])
                or IMPOSSIBLE.search(data)
            ):
                raise ProtocolError("bad_gateway", "the upstream's answer is malformed")
            return 0
        minor, status_text, fields = match.groups()
        if match.end() > RESPONSE_HEAD_BYTES_MAX:
            raise ProtocolError("bad_gateway", "the upstream's answer head is too large")
        line = _STATUS_LINES.get(status_text)
        if line is None:
            line = int(status_text[:3]), b"HTTP/1.1 " + status_text.ljust(4) + b"\r\n"
            if len(_STATUS_LINES) < STATUS_LINES_MAX:
                _STATUS_LINES[status_text] = line
        status, self.status_line = line
        self.status = status
        self.keeps_alive = minor == b"1"
        self.upgrade = b""
        length: bytes | None = None
        coding: bytes | None = None
        connection: bytes | None = None
        lowered = b"\n" + fields.lower()
        if not self.is_dated and status >= 200:
            self.is_dated = b"\ndate:" in lowered
        kept: list[bytes] | None = None
        at = 0
        for field in _KNOWN_FIELD.finditer(lowered):
            name, value = field.groups()
            value = value.strip()
            if name == b"content-length":
                # Digits alone, and few enough to stay below 2**63 (RFC 9110 8.6). As strict as towards clients: equal
                # ones repeated are refused too, as llhttp does.
                if length is not None or not value.isdigit() or len(value) > 18:
                    raise ProtocolError("bad_gateway", "the upstream's Content-Length is malformed or repeated")
                length = value
                continue
            if name == b"connection":
                connection = value if connection is None else connection + b"," + value
            elif name == b"transfer-encoding":
                coding = value if coding is None else coding + b"," + value
            start, end = field.span()  # of the line in `fields`, which has no leading \n
            if name == b"upgrade":
                self.upgrade = fields[start + 8 : end - 1].strip()
            if kept is None:
                kept = []
            kept.append(fields[at:start])
            at = end + 1
        if kept is not None:
            kept.append(fields[at:])
            fields = b"".join(kept)
        self.fields = fields
        if connection is not None and (connection != b"keep-alive" or not self.keeps_alive):
            self._read_connection(connection)
        if coding is not None:
            # RFC 9112 6.1: a server MUST NOT send it in a 1xx or 204; who does may well send chunks after it.
            if status < 200 or status == 204:
                raise ProtocolError("bad_gateway", "the upstream's answer has a transfer coding and no content")
            if length is not None:
                raise ProtocolError("bad_gateway", "the upstream's answer has two framings")
            # RFC 9112 6.1: Transfer-Encoding in an HTTP/1.0 message makes its framing faulty.
            if coding != b"chunked" or minor == b"0":
                raise ProtocolError("bad_gateway", "the upstream's transfer coding is not understood")
        # RFC 9112 6.3, in its order.
        if to_head_request or status < 200 or status == 204 or status == 304:
            self.framing = 0
            if length is not None and (status < 200 or status == 204):
                # RFC 9110 8.6: a 1xx or 204 MUST NOT have a Content-Length; passed on, a client would wait for it.
                self.fields = without_fields(self.fields, {b"content-length"})
        elif coding is not None:
            self.framing = CHUNKED
        elif length is not None:
            self.framing = int(length)
        else:
            self.framing = UNTIL_CLOSE
            self.keeps_alive = False
        return match.end()

    def _read_connection(self, connection: bytes) -> None:
        options = {option.strip(b" \t") for option in connection.split(b",")} - {b""}
        if b"close" in options:
            self.keeps_alive = False
        elif b"keep-alive" in options:
            self.keeps_alive = True
        named = options - {b"close", b"keep-alive", b"upgrade", b"content-length"}
        if named:
            self.fields = without_fields(self.fields, named)
