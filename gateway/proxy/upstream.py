"""The connection to an upstream: one exchange at a time, at rest in its pool in between."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Final, cast

from gateway.http.chunked import ChunkedDecoder
from gateway.http.errors import ProtocolError
from gateway.http.response import CHUNKED, UNTIL_CLOSE, ResponseHead
from gateway.proxy.allowance import Allowance
from gateway.proxy.core import Core
from gateway.proxy.leftover import read_left
from gateway.proxy.phase import PHASE_CHUNKED, PHASE_HEAD, PHASE_LENGTH, PHASE_TUNNEL, PHASE_UNTIL_CLOSE, Phase
from gateway.proxy.progress import unsent_bytes
from gateway.proxy.resolver import Address
from gateway.proxy.target import Target
from gateway.proxy.wire import Wire

if TYPE_CHECKING:
    from gateway.proxy.pinned import Pinned
    from gateway.proxy.relaying import Relaying

# Answers before the answer (1xx), for one request. A service may say each second that it is at it; nobody says it more
# often than a request may last, and thousands in one read are work for everybody's turn.
INTERIM_MAX: Final = 100
INTERIM_LINES_MAX: Final = 1024  # All of theirs: fields are the work, 75 ms for a hundred heads of the most.
# Acknowledging more than this may take more segments than acknowledging another's.
SMALL_CONTENT_BYTES: Final = 1024


class UpstreamConnection:
    """Reads answers strictly and hands them to its client; what comes unasked closes it."""

    __slots__ = (
        "_allowance",
        "_buffer",
        "_core",
        "_decoder",
        "_has_ended",
        "_interim",
        "_interim_lines",
        "_is_queued",
        "_is_read_paused",
        "_left",
        "_unsent_bytes",
        "address",
        "client",
        "deadline_s",
        "egress_offset",
        "head",
        "is_reused",
        "is_write_paused",
        "owner",
        "phase",
        "pool",
        "target",
        "transport",
        "wire",
    )

    def __init__(self, core: Core, target: Target, address: Address) -> None:
        self._core = core
        self.address = address
        self.target = target  # the one of the exchange, or of the last one
        self.pool = target.pool  # for good: the target's may be another when a snapshot has changed it meanwhile
        # for the connection
        self.transport: asyncio.Transport | None = None
        self.egress_offset = target.pool.egress_offset
        self.wire = Wire(core.meter, self.egress_offset, core.outbox)
        self.head = ResponseHead()
        self.is_reused = False
        self.is_write_paused = False
        self._is_read_paused = False
        self._is_queued = False  # Whether it has asked for a turn.
        self._has_ended = False  # Whether the upstream said that nothing more comes: by a FIN, within TLS by an alert.
        self._allowance = Allowance()
        self.owner: Pinned | None = None  # of the client who logged it in
        self.deadline_s = inf
        # for the exchange
        self.client: Relaying | None = None
        self.phase: Phase = PHASE_HEAD
        self._left = 0
        self._interim = 0  # how many 1xx have come
        self._interim_lines = 0  # and of how many lines
        self._unsent_bytes = 0  # when the deadline was set; 0: nothing waits to be taken
        self._buffer = b""
        self._decoder: ChunkedDecoder | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.wire.begin(transport)
        if self.target.tls is not None:
            # While we do not read, the loop would read on into a buffer that it drops at the end of the connection.
            self.transport.set_read_buffer_limits(high=1, low=0)  # type: ignore[attr-defined]
        self._core.enter_upstream(self)
        self.pool.connections.add(self)

    def data_received(self, data: bytes) -> None:
        client = self.client
        if client is None:
            # RFC 9112 9.2: unasked bytes on a resting connection would be taken for the next answer.
            self.abort()
            return
        phase = self.phase
        if phase is PHASE_HEAD:
            self._read_head(client, self._buffer + data if self._buffer else data)
        elif phase is PHASE_LENGTH:
            self.deadline_s = self._core.read_clock() + client.service_idle_timeout_s
            self._read_length(client, data)
        elif phase is PHASE_CHUNKED:
            self.deadline_s = self._core.read_clock() + client.service_idle_timeout_s
            self._read_chunks(client, data)
        else:
            self.deadline_s = self._core.read_clock() + client.service_idle_timeout_s
            client.relay(data) if phase is PHASE_TUNNEL else client.relay_framed(data)

    def _read_head(self, client: Relaying, data: bytes) -> None:
        head = self.head
        at = 0
        while True:
            try:
                head_bytes = head.parse(data, to_head_request=client.head.method == b"HEAD", at=at)
            except ProtocolError as error:
                self._fail(client, error.detail)
                return
            if head_bytes == 0:
                self._buffer = data[at:] if at else data
                return
            status = head.status
            at += head_bytes
            if status >= 200 or status == 101:
                break
            self._interim_lines += data.count(b"\n", at - head_bytes, at)
            if self._interim == INTERIM_MAX or self._interim_lines > INTERIM_LINES_MAX:
                self._fail(client, f"the upstream sent more than {INTERIM_MAX} interim answers, or too long ones")
                return
            self._interim += 1
            client.begin_interim(head)
            if at == len(data):
                self._buffer = b""
                return
        rest = data[at:] if at < len(data) else b""
        if status == 101:
            self._switch(client, rest)
            return
        self._buffer = b""
        framing = head.framing
        if framing < 0 or framing > SMALL_CONTENT_BYTES:
            self.wire.expect_bulk()
        if framing >= 0 and len(rest) >= framing:
            # The whole answer is here: one write for all of it.
            if len(rest) > framing:
                head.keeps_alive = False
                rest = rest[:framing]
            client.begin_answer(head, rest)
            self._end(client)
            return
        client.wire.expect_bulk()
        client.begin_answer(head, rest if framing >= 0 else b"")
        self.deadline_s = self._core.now_s + client.service_idle_timeout_s
        if framing >= 0:
            self.phase = PHASE_LENGTH
            self._left = framing - len(rest)
        elif framing == CHUNKED:
            self.phase = PHASE_CHUNKED
            self._decoder = ChunkedDecoder()
            if rest:
                self._read_chunks(client, rest)
        elif framing == UNTIL_CLOSE:
            self.phase = PHASE_UNTIL_CLOSE
            if rest:
                client.relay_framed(rest)

    def _read_length(self, client: Relaying, data: bytes) -> None:
        left = self._left - len(data)
        if left > 0:
            self._left = left
            client.relay(data)
            return
        if left < 0:
            self.head.keeps_alive = False  # Bytes after an answer never reach the next one.
            data = data[:left]
        client.relay(data)
        self._end(client)

    def _read_chunks(self, client: Relaying, data: bytes) -> None:
        decoder = self._decoder
        assert decoder is not None
        try:
            content = decoder.decode(data)
        except ProtocolError as error:
            self._fail(client, error.detail)
            return
        if content:
            client.relay_framed(content)
        if decoder.is_done:
            if decoder.rest:
                self.head.keeps_alive = False
            self._decoder = None
            self._end(client, decoder.trailers)
        elif decoder.has_more:
            self.pause_reading()
            self._ask_for_turn()
        elif self._is_read_paused and not client.is_write_paused:
            self.resume_reading()

    def _ask_for_turn(self) -> None:
        if not self._is_queued:
            self._is_queued = True
            self._core.turns.ask(self._take_turn)

    def _take_turn(self) -> None:
        """What came with the last read and was too much for a turn."""
        self._is_queued = False
        client, decoder = self.client, self._decoder
        if client is not None and decoder is not None and decoder.has_more and not client.is_write_paused:
            self.deadline_s = self._core.read_clock() + client.service_idle_timeout_s
            self._read_chunks(client, b"")

    def pause_reading(self) -> None:
        if not self._is_read_paused and self.transport is not None and not self.transport.is_closing():
            self._is_read_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._is_read_paused or self.transport is None or self.transport.is_closing():
            return
        if self._decoder is not None and self._decoder.has_more:
            self._ask_for_turn()  # What has come is read first.
            return
        self._is_read_paused = False
        self.transport.resume_reading()

    def _switch(self, client: Relaying, rest: bytes) -> None:
        # RFC 9110 7.8: a server MUST NOT switch to a protocol that was not asked for.
        if not client.head.upgrade or not self.head.upgrade:
            self._fail(client, "the upstream switched protocols unasked, or does not say to which")
            return
        self.phase = PHASE_TUNNEL
        self.wire.expect_bulk()
        client.begin_tunnel(self.head, rest)

    def _end(self, client: Relaying, trailers: bytes = b"") -> None:
        """The answer is complete: rest for the next exchange, or close."""
        self.target.outstanding -= 1
        self.client = None
        self.phase = PHASE_HEAD
        if self.head.keeps_alive and client.is_content_sent and self.pool.takes_back:
            self.resume_reading()  # That client's slowness is not the next one's.
            if self.head.logs_in or client.head.logs_in or self.owner is not None:
                client.pin(self)
            else:
                self.rest()
        else:
            self.abort()
        client.end_answer(self.head.status, trailers)

    def _fail(self, client: Relaying, detail: str) -> None:
        self.client = None
        self.target.outstanding -= 1
        self.target.failed(self._core.read_clock())
        self.abort()
        client.upstream_failed("bad_gateway", detail)

    def rest(self) -> None:
        """Waits in its pool for the next exchange, newest first. As many as were in use rest: bursts come again."""
        if self._begin_rest():
            self.pool.idle[self] = None

    def rest_for(self, owner: Pinned) -> None:
        """Waits for the next exchange of the client that logged it in, for as long as another would in its pool."""
        self.owner = owner
        self._begin_rest()

    def _begin_rest(self) -> bool:
        rest_s, said = self.pool.idle_s, self.head.keep_alive
        if said is not None:
            rest_s = self._allowance.rest_s(said, rest_s)
            if rest_s <= 0:
                self.abort()  # The upstream closes it too soon for another request.
                return False
        self.is_reused = True
        self.deadline_s = self._core.now_s + rest_s
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self.client is not None:
            self._read_left(self.client, exc)
        self._core.leave_upstream(self)
        self.pool.connections.discard(self)
        self.wire.end(self._core.anonymous_row)
        client = self.client
        if client is None:
            self._leave_rest()
            return
        self.client = None
        self.target.outstanding -= 1
        if self.phase is PHASE_UNTIL_CLOSE and self._has_ended:
            # RFC 9112 8: without an end that was said, who cut it short cannot be told from who ended it.
            client.end_answer(self.head.status)
        elif self.phase is PHASE_TUNNEL:
            client.end_tunnel()
        elif self.phase is PHASE_HEAD and self._buffer:
            # A part of the answer has come, so the request was acted on: no second try (DESIGN 1.2).
            self._buffer = b""
            self.target.failed(self._core.read_clock())
            client.upstream_failed("bad_gateway", "the upstream's answer was cut short")
        elif self.phase is PHASE_HEAD:
            # A resting connection may be closed under us at any time: not the target's failure.
            if not self.is_reused:
                self.target.failed(self._core.read_clock())
            client.upstream_lost(self)
        else:
            self.target.failed(self._core.read_clock())
            client.upstream_failed("bad_gateway", "the upstream's answer was cut short")

    def _read_left(self, client: Relaying, exc: Exception) -> None:
        """A write failed: the upstream has closed, and may have answered before. That is its answer."""
        if self.transport is None or (self.phase is PHASE_HEAD and not client.has_content_begun):
            return  # Where only a head was sent, that is what failed: nothing that came answers it.
        data, self._has_ended = read_left(self.transport, self.wire.descriptor, exc)
        if data:
            self.data_received(data)
        while self.client is client and self._decoder is not None and self._decoder.has_more:
            self._read_chunks(client, b"")

    def eof_received(self) -> None:
        self._has_ended = True
        if self.client is None:
            self._leave_rest()

    def _leave_rest(self) -> None:
        """At once, not when the closing is done: in between, a request that took it would be lost."""
        self.pool.idle.pop(self, None)
        if self.owner is not None:
            self.owner.forget(self)

    def deadline_passed(self) -> None:
        self.deadline_s = inf
        client = self.client
        if self._unsent_bytes and client is not None and self.transport is not None:
            unsent = unsent_bytes(self.transport)
            if unsent < self._unsent_bytes:  # It reads slowly, and it reads.
                self._unsent_bytes = unsent
                self.deadline_s = self._core.read_clock() + client.service_idle_timeout_s
                return
        if client is None or self.phase is PHASE_TUNNEL:
            self.abort()
            return
        self.client = None
        self.target.outstanding -= 1
        self.target.failed(self._core.read_clock())
        self.abort()
        client.upstream_failed("gateway_timeout", "the upstream did not answer in time")

    def begin(self, client: Relaying, target: Target, row: int, now_ns: int) -> None:
        """Takes an exchange begun at ``now_ns``; its bytes follow by `transport.write`."""
        self.client = client
        self.target = target
        self._interim = self._interim_lines = 0
        if row != self.wire.row:
            self.wire.turn_to(row, now_ns)
        target.outstanding += 1

    def leave(self) -> None:
        """The client is gone: so is the use of this connection."""
        if self.client is not None:
            self.client = None
            self.target.outstanding -= 1
        self.abort()

    def abort(self) -> None:
        if self.client is None:
            self._leave_rest()
        if self.transport is not None:
            self._core.outbox.flush()  # What is counted as sent was sent.
            self.transport.abort()

    def pause_writing(self) -> None:
        """The upstream does not take what it is sent: for `idle` at most, without progress."""
        client = self.client
        self.is_write_paused = True
        if client is not None and self.transport is not None:
            client.pause_reading()
            self._unsent_bytes = unsent_bytes(self.transport)
            if self.phase is PHASE_HEAD:
                self.deadline_s = self._core.read_clock() + client.service_idle_timeout_s

    def resume_writing(self) -> None:
        self.is_write_paused = False
        self._unsent_bytes = 0
        client = self.client
        if client is not None:
            client.resume_reading()
            if self.phase is PHASE_HEAD:
                # The answer is owed from the last byte of the request on, not before.
                wait_s = client.service_response_timeout_s if client.is_content_sent else inf
                self.deadline_s = self._core.read_clock() + wait_s
