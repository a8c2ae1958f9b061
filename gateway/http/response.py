"""An upstream's answer head: parsed as strictly as a request's, and reduced to what goes to the client."""

from __future__ import annotations

from typing import Final

from gateway.http.connection_login import asks_for_login
from gateway.http.errors import ProtocolError
from gateway.http.field_line import BY_VALUE, PLAIN, FieldLines, field_fault
from gateway.http.fields import members, without_fields
from gateway.http.grammar import IMPOSSIBLE, STATUS_LINE
from gateway.http.keep_alive import KeepAlive, keep_alive

CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2
RESPONSE_HEAD_BYTES_MAX: Final = 64 * 1024  # Twice a request's: cookies and policies make answers' heads long.
RESPONSE_FIELDS_MAX: Final = 512  # A head of the most bytes could have 16,000, which take 10 ms.

# Fields the gateway reads or does not pass on.
_CONTENT_LENGTH: Final = 1
_CONNECTION: Final = 2
_TRANSFER_ENCODING: Final = 3
_UPGRADE: Final = 4
_DATE: Final = 5
_DROPPED: Final = 6
_LOGIN: Final = 7
_KEEP_ALIVE: Final = 8
_PLACE: Final = 9  # says where something is, which its client may know by another name


def _kind_of_value(www_authenticate: bytes) -> int:
    return _LOGIN if asks_for_login(www_authenticate) else PLAIN


_LINES: Final = FieldLines(
    {
        b"content-length": _CONTENT_LENGTH,
        b"connection": _CONNECTION,
        b"transfer-encoding": _TRANSFER_ENCODING,
        b"upgrade": _UPGRADE,
        b"date": _DATE,
        b"keep-alive": _KEEP_ALIVE,
        b"proxy-connection": _DROPPED,
        b"proxy-authenticate": _DROPPED,
        b"trailer": _DROPPED,
        b"te": _DROPPED,
        b"x-request-id": _DROPPED,
        b"ratelimit": _DROPPED,
        b"ratelimit-policy": _DROPPED,
        b"www-authenticate": BY_VALUE,
        b"location": _PLACE,
        b"content-location": _PLACE,
        b"set-cookie": _PLACE,
    },
    kind_of_value=_kind_of_value,
)

STATUS_LINES_MAX: Final = 256
_STATUS_LINES: dict[bytes, StatusLine] = {}  # as received, to what is made of it: answers repeat a few


class StatusLine:
    """``text`` is the line for the client."""

    __slots__ = ("is_http11", "status", "text")

    def __init__(self, minor: bytes, status_text: bytes) -> None:
        self.is_http11 = minor == b"1"
        self.status = int(status_text[:3])
        self.text = b"HTTP/1.1 " + status_text.ljust(4) + b"\r\n"


def _status_line(line: bytes) -> StatusLine:
    """Reads one that is not known. Raises ProtocolError (bad_gateway)."""
    match = STATUS_LINE.fullmatch(line)
    if match is None:
        raise ProtocolError("bad_gateway", "the upstream's answer is malformed: its status line")
    minor, status_text = match.groups()
    known = StatusLine(minor, status_text)
    if len(_STATUS_LINES) < STATUS_LINES_MAX:
        _STATUS_LINES[line] = known
    return known


class ResponseHead:
    """One per upstream connection, filled anew by each answer. ``status_line`` ends in CRLF, ``fields`` too."""

    __slots__ = (
        "fields",
        "framing",
        "is_dated",
        "keep_alive",
        "keeps_alive",
        "logs_in",
        "names_places",
        "searched",
        "status",
        "status_line",
        "upgrade",
    )

    def __init__(self) -> None:
        self.status = 0
        self.status_line = b""
        self.fields = b""
        self.framing = 0  # content bytes, CHUNKED or UNTIL_CLOSE
        self.keeps_alive = True
        self.keep_alive: KeepAlive | None = None  # for how long, where it says so
        self.upgrade = b""
        self.is_dated = False
        self.searched = 0  # How much of a head that is not whole yet was looked through.
        self.names_places = False  # Whether it has fields that `location: rewrite` is about.
        self.logs_in = False  # Whether it is part of the login of the connection that it came by.

    def parse(self, data: bytes, *, to_head_request: bool, at: int = 0) -> int:
        """Reads one head from ``at`` on; returns its length, 0 while it is not whole.

        Called again with more of the same head it goes on where it stopped. Raises ProtocolError (bad_gateway).
        """
        searched = self.searched
        most = at + RESPONSE_HEAD_BYTES_MAX
        end = data.find(b"\r\n\r\n", at + searched - 3 if searched > 3 else at, most)
        if end < 0:
            # A partial head is refused as soon as it cannot become one: waiting would turn a 502 into a late 504.
            if len(data) >= most:
                raise ProtocolError("bad_gateway", "the upstream's answer head is too large")
            begins = b"HTTP/1."[: len(data) - at]
            if not data.startswith(begins, at):
                raise ProtocolError("bad_gateway", "the upstream's answer is malformed: it is no HTTP/1.1 or HTTP/1.0")
            if IMPOSSIBLE.search(data, at + searched - 1 if searched else at):
                raise ProtocolError("bad_gateway", "the upstream's answer is malformed: a bare CR, LF or NUL")
            self.searched = len(data) - at
            return 0
        if searched:
            self.searched = 0
        lines = data[at:end].split(b"\r\n")
        if len(lines) > RESPONSE_FIELDS_MAX + 1:
            raise ProtocolError("bad_gateway", f"the upstream's answer has more than {RESPONSE_FIELDS_MAX} fields")
        first = lines[0]
        status_line = _STATUS_LINES.get(first)
        if status_line is None:
            status_line = _status_line(first)
        self.status_line = status_line.text
        self.status = status = status_line.status
        self.keeps_alive = status_line.is_http11
        self.upgrade = b""
        self.is_dated = self.logs_in = self.names_places = False
        self.keep_alive = None
        length: bytes | None = None
        coding: bytes | None = None
        connection: bytes | None = None
        kept: list[bytes] | None = None
        known = _LINES.known
        for index in range(1, len(lines)):
            line = lines[index]
            field = known.get(line)
            if field is None:
                field = _LINES.read(line)
                if field is None:
                    fault = f"field line {index}, {field_fault(line)}"
                    raise ProtocolError("bad_gateway", f"the upstream's answer is malformed: {fault}")
            kind = field.kind
            if kind != PLAIN:
                value = field.value
                if kind == _DATE:
                    self.is_dated = True
                elif kind == _CONTENT_LENGTH:
                    # Digits alone, and few enough to stay below 2**63 (RFC 9110 8.6). As strict as towards clients:
                    # equal ones repeated are refused too, as llhttp does.
                    if length is not None or not value.isdigit() or len(value) > 18:
                        raise ProtocolError("bad_gateway", "the upstream's Content-Length is malformed or repeated")
                    length = value
                elif kind == _LOGIN:
                    self.logs_in = True
                elif kind == _PLACE:
                    self.names_places = True
                else:
                    if kept is None:
                        kept = lines[1:index]
                    if kind == _CONNECTION:
                        value = value.lower()
                        connection = value if connection is None else connection + b"," + value
                    elif kind == _TRANSFER_ENCODING:
                        value = value.lower()
                        coding = value if coding is None else coding + b"," + value
                    elif kind == _UPGRADE:
                        self.upgrade = value
                    elif kind == _KEEP_ALIVE:
                        self.keep_alive = keep_alive(value)
                    continue
            if kept is not None:
                kept.append(line)
        if kept is None:
            self.fields = data[at + len(first) + 2 : end + 2]
        else:
            kept.append(b"")
            self.fields = b"\r\n".join(kept)
        if connection is not None and (connection != b"keep-alive" or not self.keeps_alive):
            self._read_connection(connection)
        if coding is not None:
            # RFC 9112 6.1: a server MUST NOT send it in a 1xx or 204; who does may well send chunks after it.
            if status < 200 or status == 204:
                raise ProtocolError("bad_gateway", "the upstream's answer has a transfer coding and no content")
            if length is not None:
                raise ProtocolError("bad_gateway", "the upstream's answer has two framings")
            # RFC 9112 6.1: Transfer-Encoding in an HTTP/1.0 message makes its framing faulty.
            if coding != b"chunked" or not status_line.is_http11:
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
        return end + 4 - at

    def _read_connection(self, connection: bytes) -> None:
        options = frozenset(members(connection, "bad_gateway")) - {b""}
        if b"close" in options:
            self.keeps_alive = False
        elif b"keep-alive" in options:
            self.keeps_alive = True
        named = options - {b"close", b"keep-alive", b"upgrade", b"content-length"}
        if named:
            self.fields = without_fields(self.fields, named)
