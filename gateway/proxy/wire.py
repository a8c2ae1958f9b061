"""Wire bytes of one connection, by what the kernel says of it and the rows its exchanges belong to (X16).

Read when it matters and not per request: when the connection turns to another row, once a second while something
moves (`Core.count_wire`), before the hour turns, and when the connection ends.
"""

from __future__ import annotations

from math import ceil
from typing import Any, Final

from metering.meter import Meter
from metering.tcp_info import IS_MEASURED, Reading, Sent, headers_bytes

SETTLED: Final = -1
_SEGMENTS: Final = 1 << 32  # The kernel's count of segments wraps here.
_SEGMENT_BYTES: Final = 1448  # What a segment that is still unsent at the end is taken to hold.


class Wire:
    """The meter of one connection's wire bytes.

    What the kernel, or the transport before it, still holds counts as sent: it was handed over for this row, and so
    the wire figure is never behind the application's. ``row`` is whose bytes the next reading finds; SETTLED once
    they are read and acknowledged, so that a connection at rest is not read again and again.
    """

    __slots__ = (
        "_cell",
        "_headers_bytes",
        "_meter",
        "_reading",
        "_seen_bytes",
        "_seen_segments",
        "_transport",
        "row",
    )

    def __init__(self, meter: Meter, application_cell: int) -> None:
        self._meter = meter
        self._cell = application_cell + 1  # The wire basis stands behind the application's (metering/cells.py).
        self._transport: Any = None
        self._reading: Reading | None = None
        self._headers_bytes = 0
        self._seen_bytes = 0  # From nothing on: handshakes belong to the row of the first request.
        self._seen_segments = 0
        self.row = SETTLED

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
        if self.row != row:
            if self.row != SETTLED:
                self._count()
            self.row = row

    def count(self, is_at_rest: bool) -> None:
        """Counts what moved since the last reading. ``is_at_rest``: no exchange is under way."""
        if self.row == SETTLED:
            return
        sent = self._count()
        if is_at_rest and (sent is None or _is_all_acknowledged(sent)) and not self._held_bytes():
            self.row = SETTLED

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

    def _count(self) -> Sent | None:
        """One reading, added to the row."""
        sent = self._reading.read() if self._reading is not None else None
        if sent is None:
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
        self._add(moved_bytes + new_segments * self._headers_bytes)
        return sent

    def _held_bytes(self) -> int:
        """What the transport has not handed to the kernel yet."""
        return 0 if self._transport is None else int(self._transport.get_write_buffer_size())

    def _add(self, amount: int) -> None:
        self._meter.cells[self.row + self._cell] += amount


def _is_all_acknowledged(sent: Sent) -> bool:
    unacknowledged, _, unsent_bytes, _ = sent
    return unacknowledged == 0 and unsent_bytes == 0
