"""Wire bytes of one connection, by what the kernel says of it and the rows its exchanges belong to (X16).

Read when it matters and not per request: once a second while something moves (`Core.count_wire`), before the hour
turns, when the connection ends, and when it turns from one row to another. Between exchanges that are a segment each
way even that reading would tell nothing that is not known: it is left out, and the next one is divided among them. Each
then has its own payload, and of the segments a part by how many it sent; what is left to divide are acknowledgements.
"""

from __future__ import annotations

from math import ceil
from typing import Any, Final

from metering.meter import Meter
from metering.tcp_info import IS_MEASURED, Reading, Sent, headers_bytes

SETTLED: Final = -1
_SEGMENTS: Final = 1 << 32  # The kernel's count of segments wraps here.
_SEGMENT_BYTES: Final = 1448  # What fits a segment, and what one that is still unsent at the end is taken to hold.
_SHARES_MAX: Final = 64  # Turns between two readings: what dividing takes, and what is behind until then.
# A share is one number: a stretch's row (65,536 of them have fewer cells), its bytes (of small writes, in a second at
# the most), and above them its writes, however many.
_BYTES_AT: Final = 24
_WRITES_AT: Final = 54
_ROW_MASK: Final = (1 << _BYTES_AT) - 1
_BYTES_MASK: Final = (1 << (_WRITES_AT - _BYTES_AT)) - 1


class Wire:
    """The meter of one connection's wire bytes.

    What the kernel, or the transport before it, still holds counts as sent: it was handed over for this row, and so
    the wire figure is never behind the application's. ``row`` is whose bytes the next reading finds; SETTLED once
    they are read and acknowledged, so that a connection at rest is not read again and again.

    A stretch is what lies between two turns. ``_shares`` are those that wait for a reading.
    """

    __slots__ = (
        "_bytes",
        "_cell",
        "_headers_bytes",
        "_is_exact",
        "_meter",
        "_reading",
        "_seen_bytes",
        "_seen_segments",
        "_shares",
        "_transport",
        "_writes",
        "row",
    )
    # What each request touches stands first, as in `Service`.
    row: int
    _bytes: int
    _writes: int
    _is_exact: bool

    def __init__(self, meter: Meter, application_cell: int) -> None:
        self._meter = meter
        self._cell = application_cell + 1  # The wire basis stands behind the application's (metering/cells.py).
        self._transport: Any = None
        self._reading: Reading | None = None
        self._headers_bytes = 0
        self._seen_bytes = 0  # From nothing on: handshakes belong to the row of the first request.
        self._seen_segments = 0
        self.row = SETTLED
        # of the stretch under way
        self._bytes = 0
        self._writes = 0
        self._is_exact = True  # A reading ends it. The first one has the handshake in it.
        self._shares: list[int] = []

    def begin(self, transport: Any) -> None:
        """The connection is made. On a transport that is no TCP socket nothing is counted."""
        socket = transport.get_extra_info("socket")
        peer = transport.get_extra_info("peername")
        if socket is None or not isinstance(peer, tuple) or not IS_MEASURED:
            return
        self._transport = transport
        self._headers_bytes = headers_bytes(socket.family, peer[0])
        # The loop tells of the end of a TLS connection after it has closed the descriptor.
        is_tls = transport.get_extra_info("sslcontext") is not None
        try:
            self._reading = Reading(socket.family, socket.fileno(), outlives_it=is_tls)
        except OSError:
            return  # Out of descriptors, or gone already.

    def turn_to(self, row: int) -> None:
        """From here on bytes are this row's; what came before is its own row's."""
        if self.row == row:
            return
        if self.row != SETTLED:
            if self._is_exact or len(self._shares) >= _SHARES_MAX:
                self._count()
                self._is_exact = self._reading is None
            else:
                self._end_stretch()
        self.row = row

    def hand_over(self, size: int) -> None:
        """So many bytes are about to be written."""
        if size > _SEGMENT_BYTES:
            self.expect_bulk()
        self._bytes += size
        self._writes += 1

    def expect_bulk(self) -> None:
        """More than a segment is about to move, this way or that: its segments are counted, not divided."""
        if not self._is_exact:
            if self._shares:
                self._count()
            self._is_exact = True

    def count(self, is_at_rest: bool) -> None:
        """Counts what moved since the last reading. ``is_at_rest``: no exchange is under way."""
        if self.row == SETTLED:
            return
        sent = self._count()
        if is_at_rest and (sent is None or _is_all_acknowledged(sent)) and not self._held_bytes():
            self.row = SETTLED
            self._is_exact = self._reading is None

    def end(self, anonymous_row: int) -> None:
        """The last reading, with what the kernel will still send.

        What belongs to nobody's exchange (a handshake without a request, the end of a connection at rest) is nobody's.
        """
        if self.row == SETTLED:
            self.row = anonymous_row
        try:
            sent = self._count()
            if sent is not None:
                _, _, unsent_bytes, _ = sent
                if unsent_bytes:
                    self._add(ceil(unsent_bytes / _SEGMENT_BYTES) * self._headers_bytes)
        finally:
            # Whatever happened: a reading that is dropped would close a descriptor that is somebody else's by then.
            if self._reading is not None:
                self._reading.end()
                self._reading = None
            self._transport = None

    def _end_stretch(self) -> None:
        self._shares.append(self._writes << _WRITES_AT | self._bytes << _BYTES_AT | self.row)
        self._bytes = self._writes = 0

    def _count(self) -> Sent | None:
        """One reading, divided among the stretches since the last one."""
        sent = self._reading.read() if self._reading is not None else None
        if sent is None:
            self._shares = []
            self._bytes = self._writes = 0
            return None
        _, segments, unsent_bytes, payload_bytes = sent
        payload_bytes += unsent_bytes + self._held_bytes()
        moved_bytes = payload_bytes - self._seen_bytes
        if moved_bytes > 0:  # Less than before only where a connection broke and dropped what it held.
            self._seen_bytes = payload_bytes
        else:
            moved_bytes = 0
        new_segments = (segments - self._seen_segments) % _SEGMENTS
        self._seen_segments = segments
        headers_bytes = new_segments * self._headers_bytes
        if self._shares:
            self._end_stretch()
            self._divide(moved_bytes, headers_bytes)
        else:
            self._bytes = self._writes = 0
            self._add(moved_bytes + headers_bytes)
        return sent

    def _divide(self, payload_bytes: int, headers_bytes: int) -> None:
        """Payload by what each stretch handed over, headers by how often it wrote; the parts sum up to the whole."""
        shares, self._shares = self._shares, []
        all_bytes = all_writes = 0
        for share in shares:
            all_bytes += share >> _BYTES_AT & _BYTES_MASK
            all_writes += share >> _WRITES_AT
        if not all_bytes:
            self._add(payload_bytes + headers_bytes)
            return
        cells, cell = self._meter.cells, self._cell
        header_bytes = self._headers_bytes
        if payload_bytes == all_bytes and headers_bytes == all_writes * header_bytes:
            # Acknowledged by what was sent anyway: as on each busy connection.
            for share in shares:
                cells[(share & _ROW_MASK) + cell] += (share >> _BYTES_AT & _BYTES_MASK) + (
                    share >> _WRITES_AT
                ) * header_bytes
            return
        bytes_so_far = writes_so_far = divided = 0
        for share in shares:
            bytes_so_far += share >> _BYTES_AT & _BYTES_MASK
            writes_so_far += share >> _WRITES_AT
            until_here = payload_bytes * bytes_so_far // all_bytes + headers_bytes * writes_so_far // all_writes
            cells[(share & _ROW_MASK) + cell] += until_here - divided
            divided = until_here

    def _held_bytes(self) -> int:
        """What the transport has not handed to the kernel yet."""
        return 0 if self._transport is None else int(self._transport.get_write_buffer_size())

    def _add(self, amount: int) -> None:
        self._meter.cells[self.row + self._cell] += amount


def _is_all_acknowledged(sent: Sent) -> bool:
    unacknowledged, _, unsent_bytes, _ = sent
    return unacknowledged == 0 and unsent_bytes == 0
