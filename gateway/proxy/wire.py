"""Wire bytes of one connection, by what the kernel says of it and the rows its exchanges belong to (X16).

Read when it matters and not per request: once a second while something moves (`Core.count_wire`), before the hour
turns, when the connection ends, and when it turns from one row to another. A connection that turns at each request is
counted ahead: a small write is one segment, so it is known what the kernel will say, and it is counted where its bytes
are, beside those of the application. The next reading finds what there was beside: acknowledgements that travelled
alone, and repeats. There are hardly any between turns that follow each other more quickly than one is sent.
"""

from __future__ import annotations

from math import ceil
from typing import Any, Final

from gateway.proxy.outbox import Outbox
from metering.meter import Meter
from metering.tcp_info import IS_MEASURED, Reading, Sent, headers_bytes

SETTLED: Final = -1
_SEGMENTS: Final = 1 << 32  # The kernel's count of segments wraps here.
_SEGMENT_BYTES: Final = 1448  # What fits a segment, and what one that is still unsent at the end is taken to hold.
_RECORD_BYTES: Final = 21  # The least that TLS adds to a write (RFC 8446 5.2 with RFC 7905 in TLS 1.2).
# What came is acknowledged with what is sent, or by itself after so long (the least of the kernel's delays).
_ACKNOWLEDGED_NS: Final = 40_000_000


class Wire:
    """The meter of one connection's wire bytes.

    What the kernel, or the transport before it, still holds counts as sent: it was handed over for this row, and so
    the wire figure is never behind the application's. ``row`` is whose bytes the next reading finds; SETTLED once
    they are read and acknowledged, so that a connection at rest is not read again and again. Bytes of another side than
    the connection's own have a row that is as much further on (`REFUSED_BESIDE_CLIENT`): to change sides is to turn.
    """

    __slots__ = (
        "_cell",
        "_counted_bytes",
        "_counted_segments",
        "_has_turned",
        "_headers_bytes",
        "_is_exact",
        "_meter",
        "_outbox",
        "_reading",
        "_record_bytes",
        "_transport",
        "_turned_ns",
        "row",
    )
    # What each request touches, first, as in `Match`.
    row: int
    _is_exact: bool
    _has_turned: bool
    _turned_ns: int
    _counted_bytes: int
    _counted_segments: int
    _record_bytes: int
    _headers_bytes: int
    _cell: int

    def __init__(self, meter: Meter, application_cell: int, outbox: Outbox) -> None:
        self._meter = meter
        self._outbox = outbox
        self._cell = application_cell + 1  # The wire basis stands behind the application's (metering/cells.py).
        self._transport: Any = None
        self._reading: Reading | None = None
        self._headers_bytes = 0
        self._record_bytes = 0  # What the least of records adds to a write.
        # From nothing on: handshakes belong to the row of the first request.
        self._counted_bytes = 0
        self._counted_segments = 0
        self.row = SETTLED
        self._turned_ns = 0
        self._has_turned = False  # since the last reading of all connections
        self._is_exact = True  # The row's bytes are counted by a reading alone. The first has the handshake in it.

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
        if is_tls:
            self._record_bytes = _RECORD_BYTES
        try:
            self._reading = Reading(socket.family, socket.fileno(), outlives_it=is_tls)
        except OSError:
            return  # Out of descriptors, or gone already.

    @property
    def descriptor(self) -> int:
        """The connection's, which of one with TLS outlives the loop's own; -1 where there is none."""
        return -1 if self._reading is None else self._reading.descriptor

    def turn_to(self, row: int, now_ns: int) -> None:
        """From here on bytes are this row's; what came before is its own row's. ``now_ns``: monotonic."""
        if self.row == row:
            return
        if self.row != SETTLED:
            self._has_turned = True
            if self._is_exact or now_ns - self._turned_ns > _ACKNOWLEDGED_NS:
                sent = self._count()
                self._is_exact = sent is None or self._is_joining(sent)
        self._turned_ns = now_ns
        self.row = row

    def give_to(self, row: int, began_ns: int) -> None:
        """The exchange that began at ``began_ns`` is this row's after all, with what of it is not read yet.

        Where it has turned the connection that is all there is: a handshake, and acknowledgements of what came.
        """
        if self._turned_ns == began_ns and self.row != SETTLED:
            self.row = row
        else:
            self.turn_to(row, began_ns)

    def hand_over(self, size: int) -> None:
        """So many bytes are about to be written."""
        if self._is_exact:
            return
        if size > _SEGMENT_BYTES:
            self._is_exact = True
            return
        size += self._record_bytes
        self._counted_bytes += size
        self._counted_segments += 1
        self._add(size + self._headers_bytes)

    def expect_bulk(self) -> None:
        """More than a segment is about to move, this way or that, or several writes, which the kernel may join."""
        self._is_exact = True

    def count(self, is_at_rest: bool) -> None:
        """Counts what moved since the last reading. ``is_at_rest``: no exchange is under way."""
        if self.row == SETTLED:
            return
        sent = self._count()
        if not self._has_turned or (sent is not None and self._is_joining(sent)):
            self._is_exact = True
        self._has_turned = False
        if is_at_rest and (sent is None or (_is_all_acknowledged(sent) and not self._unsent_bytes(sent))):
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
                _, segments, unsent_bytes, _ = sent
                counted_ahead = (self._counted_segments - segments) % _SEGMENTS
                to_come = ceil(unsent_bytes / _SEGMENT_BYTES) - counted_ahead
                self._add(max(0, to_come) * self._headers_bytes)
        finally:
            # Whatever happened: a reading that is dropped would close a descriptor that is somebody else's by then.
            if self._reading is not None:
                self._reading.end()
                self._reading = None
            self._transport = None

    def _count(self) -> Sent | None:
        """One reading: adds what is not counted yet to the row."""
        self._outbox.flush()  # What was handed over for this row is no other's.
        sent = self._reading.read() if self._reading is not None else None
        if sent is None:
            return None
        _, segments, _, payload_bytes = sent
        payload_bytes += self._unsent_bytes(sent)
        new_bytes = payload_bytes - self._counted_bytes
        if new_bytes > 0:  # Less than before only where a connection broke and dropped what it held.
            self._counted_bytes = payload_bytes
        else:
            new_bytes = 0
        new_segments = (segments - self._counted_segments) % _SEGMENTS
        if new_segments < _SEGMENTS // 2:
            self._counted_segments = segments
        else:
            new_segments = 0  # The kernel joined writes: counts only rise, so it comes off the segments that follow.
        self._add(new_bytes + new_segments * self._headers_bytes)
        return sent

    def _is_joining(self, sent: Sent) -> bool:
        """Whether the kernel has joined writes, or may: a small one to what is unsent before it."""
        _, segments, _, _ = sent
        return segments != self._counted_segments % _SEGMENTS or self._unsent_bytes(sent) > 0

    def _unsent_bytes(self, sent: Sent) -> int:
        """What is handed over and not sent yet, by the transport or the kernel."""
        _, _, unsent_bytes, _ = sent
        return unsent_bytes + self._held_bytes()

    def _held_bytes(self) -> int:
        """What the transport has not handed to the kernel yet."""
        return 0 if self._transport is None else int(self._transport.get_write_buffer_size())

    def _add(self, amount: int) -> None:
        self._meter.cells[self.row + self._cell] += amount


def _is_all_acknowledged(sent: Sent) -> bool:
    unacknowledged, _, unsent_bytes, _ = sent
    return unacknowledged == 0 and unsent_bytes == 0
