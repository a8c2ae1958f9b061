"""Wire bytes of one connection, by what the kernel says of it and the rows its exchanges belong to (X16).

Read when it matters and not per request: when the connection turns to another row, once a second while something
moves (`Core.count_wire`), before the hour turns, and when the connection ends.
"""

from __future__ import annotations

import os
from math import ceil
from typing import Any, Final

from metering.meter import Meter
from metering.tcp_info import headers_bytes, sent_by

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
        "_fd",
        "_headers_bytes",
        "_meter",
        "_owns_fd",
        "_seen_bytes",
        "_seen_segments",
        "_transport",
        "row",
    )

    def __init__(self, meter: Meter, application_cell: int) -> None:
        self._meter = meter
        self._cell = application_cell + 1  # The wire basis stands behind the application's (metering/cells.py).
        self._transport: Any = None
        self._fd = -1
        self._owns_fd = False
        self._headers_bytes = 0
        self._seen_bytes = 0  # From nothing on: handshakes belong to the row of the first request.
        self._seen_segments = 0
        self.row = SETTLED

    def begin(self, transport: Any) -> None:
        """The connection is made. On a transport that is no TCP socket nothing is counted."""
        socket = transport.get_extra_info("socket")
        peer = transport.get_extra_info("peername")
        if socket is None or not isinstance(peer, tuple):
            return
        self._transport = transport
        self._headers_bytes = headers_bytes(socket.family, peer[0])
        self._fd = socket.fileno()
        if transport.get_extra_info("sslcontext") is not None:
            # The loop tells of the end of a TLS connection after it has closed the descriptor.
            try:
                self._fd = os.dup(self._fd)
                self._owns_fd = True
            except OSError:
                self._fd = -1

    def turn_to(self, row: int) -> None:
        """From here on bytes are this row's; what came before is its own row's."""
        if self.row != row:
            if self.row != SETTLED:
                self._count()
            self.row = row

    def count(self, is_at_rest: bool) -> None:
        """Counts what moved since the last reading. ``is_at_rest``: no exchange is under way."""
        if self.row != SETTLED and self._count() == 0 and is_at_rest:
            self.row = SETTLED

    def end(self, anonymous_row: int) -> None:
        """The last reading, with what the kernel will still send.

        What belongs to nobody's exchange (a handshake without a request, the end of a connection at rest) is nobody's.
        """
        if self.row == SETTLED:
            self.row = anonymous_row
        self._count()
        sent = sent_by(self._fd) if self._fd >= 0 else None
        if sent is not None and sent.unsent_bytes:
            self._add(ceil(sent.unsent_bytes / _SEGMENT_BYTES) * self._headers_bytes)
        if self._owns_fd:
            os.close(self._fd)
        self._fd = -1
        self._transport = None

    def _count(self) -> int:
        """One reading, added to the row; returns how much is not yet sent and acknowledged (0: all is)."""
        if self._fd < 0:
            return 0
        sent = sent_by(self._fd)
        if sent is None:
            return 0
        held_bytes = sent.unsent_bytes + int(self._transport.get_write_buffer_size())
        segments = (sent.segments - self._seen_segments) % _SEGMENTS
        payload_bytes = sent.payload_bytes + held_bytes
        moved_bytes = payload_bytes - self._seen_bytes
        self._seen_segments = sent.segments
        if moved_bytes > 0:  # Less than before only where a connection broke and dropped what it held.
            self._seen_bytes = payload_bytes
        else:
            moved_bytes = 0
        self._add(moved_bytes + segments * self._headers_bytes)
        return held_bytes + sent.unacknowledged

    def _add(self, amount: int) -> None:
        self._meter.cells[self.row + self._cell] += amount
