"""The client's side of an exchange as bytes and counts.

On it builds, each on the one before: what upstreams are told (`presenting.py`), what relays (`relaying.py`), what
limits decide (`admitting.py`), and what requests mean (`client.py`).
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from bisect import bisect_left
from math import inf
from typing import Final, cast

from gateway.http.problem import PROBLEMS, problem_response
from gateway.http.request import RequestHead
from gateway.limits.admission import LimitSet
from gateway.proxy.capacity import descriptors_of
from gateway.proxy.client_address import UNKNOWN, Address, address_text, peer_address, vouched_for
from gateway.proxy.core import Core
from gateway.proxy.matching import Match
from gateway.proxy.paced import Paced
from gateway.proxy.service import Service
from gateway.proxy.state import EXCHANGE, HEAD, LINGER, TUNNEL
from gateway.proxy.wire import Wire
from metering.cells import (
    BACKEND_ERRORS,
    CALLS,
    DURATION_BOUNDS_S,
    DURATION_BUCKETS,
    DURATION_SUM_US,
    FRONTEND_ERRORS,
    INGRESS,
    OTHER_ENDS,
    REFUSED_BESIDE_CLIENT,
    WEBSOCKET_CONNECTIONS,
    egress_cell,
)

# A connection that was refused so often in a row waits for its turn behind the others: a flood of refusals is theirs.
REFUSALS_PATIENCE: Final = 4
LINGER_S: Final = 2.0  # RFC 9112 9.6: how long a closing side reads on, so that its answer is not reset away.
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_BOUNDS_US: Final = [round(bound * 1e6) for bound in DURATION_BOUNDS_S]
NO_LIMITS: Final = LimitSet(())


class Downstream(Paced):
    """One client's connection. Slots stand in the order of their lifetime.

    An asyncio protocol by its methods and not by inheritance, so that it can be compiled to a plain object.
    """

    __slots__ = (
        # the connection
        "_meter",
        "_egress_offset",
        "_scheme",
        "_address",
        "_is_entered",
        "_address_text",
        "wire",
        "head",
        "_refusals",
        "_is_reading",
        "_is_half_closed",
        # the exchange
        "_match",
        "_unmatched",
        "_limits",
        "_cors_fields",
        "_row",
        "_request_id",
        "_started_ns",
        "is_content_sent",
        "_is_connecting",
        "_is_gathering",
        "is_counted",
        "_closes_after",
    )

    def __init__(self, core: Core, network: str, scheme: str, address: Address = UNKNOWN) -> None:
        """``address``: the client's, where it is not the transport's peer (PROXY protocol)."""
        super().__init__(core)
        self._meter = core.meter
        self._egress_offset = egress_cell("client", network, "application")
        self.wire = Wire(core.meter, self._egress_offset, core.outbox)
        self._scheme = scheme.encode()
        self._address = address
        self._is_entered = False  # Whether it counts among those of its address.
        self._address_text = b""
        self.head = RequestHead(keeps_lookalikes=core.bounds.keeps_lookalikes)
        self._refusals = 0  # in a row, since a request was forwarded
        self._is_reading = False  # Whether requests that have come are being read, one after the other.
        self._is_half_closed = False
        self._match: Match | None = None
        self._unmatched: Service | None = None  # the service, where none of its routes is the request's
        self._limits = NO_LIMITS
        self._cors_fields = b""  # who may read the answer, where the service has a rule on it
        self._row = core.anonymous_row
        self._request_id = b""
        self._started_ns = 0
        self.is_content_sent = True
        self._is_connecting = False
        self._is_gathering = False  # Whether content has to come before the exchange has a connection.
        self.is_counted = False
        self._closes_after = False

    # --- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.wire.begin(transport)
        if self._address is UNKNOWN and (peer := transport.get_extra_info("peername")):
            self._address = peer_address(peer[0])
        self._address_text = address_text(self._address)
        core = self._core
        if core.has_too_many(self._address, descriptors_of(self._scheme)):
            self._state = LINGER
            self.transport.abort()
            return
        self.head.is_from_trusted = bool(core.trusted_proxies) and core.trusts(self._address)
        self.deadline_s = core.read_clock() + core.bounds.head_timeout_s
        core.clients.add(self)
        self._is_entered = True
        core.capacity.enter(self._address, descriptors_of(self._scheme))

    def connection_lost(self, exc: Exception | None) -> None:
        self._core.clients.discard(self)
        self._leave()
        self.wire.end(self._core.anonymous_row)
        if self._state is EXCHANGE or self._state is TUNNEL:
            # Forwarding began, so it is a call whatever follows (X10).
            self._count_failed_call()
            self._drop_upstream()
            self._end_exchange()
        elif self._state is HEAD and self._buffer:
            # One that sent part of a head is a request (DESIGN 1.7).
            self._meter.cells[self._row + INGRESS] += len(self._buffer) - self._buffer_at
            self._count_front_error("bad_request")
            self._meter.cells[self._row + OTHER_ENDS] += 1
        self._state = LINGER
        self._buffer = b""
        self._buffer_at = 0

    @property
    def row(self) -> int:
        return self._row

    @property
    def _service(self) -> Service | None:
        """Whose request it is."""
        match = self._match
        return self._unmatched if match is None else match.service

    @property
    def is_at_rest(self) -> bool:
        return self._state is HEAD

    @property
    def has_asked(self) -> bool:
        """Whether a whole head ever came."""
        return bool(self._request_id)

    def deadline_passed(self) -> None:
        self.deadline_s = inf
        if self.transport.get_write_buffer_size():
            self._wait_for_reader()
        elif self._state is EXCHANGE:
            if self._content_left and not self._is_answered:
                self._drop_upstream()
                self._refuse("request_timeout", "the request's content stalled", close=True)
        elif self._state is HEAD and self._buffer:
            self._begin_refusal(self._buffer, self._buffer_at)
            self._refuse("request_timeout", "the request's head took too long", close=True)
        else:
            self.transport.abort() if self._state is LINGER else self.transport.close()

    def _leave(self) -> None:
        if self._is_entered:
            self._is_entered = False
            self._core.capacity.leave(self._address, descriptors_of(self._scheme))

    @property
    def address(self) -> Address:
        """Whose connection it is, by the transport or the PROXY protocol."""
        return self._address

    @property
    def may_give_way(self) -> bool:
        """Whether others may have its place: nothing that it asked for is under way, and it has not given way yet."""
        return self._state is HEAD and self._is_entered

    def give_way(self) -> None:
        """Others want what it has: at rest, within a head that is slow to come, or within an exchange that is."""
        if self._state is EXCHANGE and self._content_left and not self.is_write_paused:
            self._drop_upstream()
            self._refuse("request_timeout", "the request's content is slow, and others wait", close=True)
        elif not self.transport.is_closing():
            self._leave()  # From now on: it is closed in the next turn.
            self._core.outbox.flush()
            self.transport.abort()

    def drain(self) -> None:
        """The worker's drain time has ended: at rest the connection closes."""
        if self._state is HEAD and not self._buffer:
            self._close_transport()

    def client_address(self) -> Address:
        """The peer, or, where the peer is a trusted proxy, the last address that is no trusted proxy's."""
        field = self.head.forwarded_for if self.head.is_from_trusted else b""
        return vouched_for(field, self._core.trusts, self._address) if field else self._address

    @property
    def service_idle_timeout_s(self) -> float:
        service = self._service
        return service.idle_timeout_s if service is not None else inf

    @property
    def service_response_timeout_s(self) -> float:
        service = self._service
        return service.response_timeout_s if service is not None else inf

    @property
    def reader_timeout_s(self) -> float:
        return self._core.bounds.idle_timeout_s if self._service is None else self.service_idle_timeout_s

    def _drop_upstream(self) -> None:
        self._is_connecting = self._is_gathering = False
        if self._upstream is not None:
            self._upstream.leave()
            self._upstream = None

    # --- what goes to the client

    def relay(self, data: bytes) -> None:
        self._meter.cells[self._row + self._egress_offset] += len(data)
        self.wire.hand_over(len(data))
        self._core.outbox.write(self.transport, data)

    def _begin_refusal(self, received: bytes, at: int) -> None:
        """A request refused before its head was understood: all that was ``received``, from ``at`` on, is its own."""
        self._state = EXCHANGE
        self._row = self._core.anonymous_row
        self._meter.cells[self._row + INGRESS] += len(received) - at
        self.wire.turn_to(self._row, self._started_ns)
        self._request_id = self._core.next_request_id()
        self._buffer = b""
        self._buffer_at = 0
        self.head.forget_line()
        self.head.content_length = -1  # Unknown: the client may be sending still.

    def _refuse(self, code: str, detail: str, fields: bytes = b"", *, close: bool = False) -> None:
        """A front-end error: no call, nothing forwarded that counts (B4, X11)."""
        if self.is_counted:
            # The upstream has begun its answer: a call it is, and one request is not counted as two (DESIGN 1.7).
            self._cut_short()
            return
        self._count_front_error(code)
        self._refusals += 1
        # Content that is still to come, and that we shall not read, cannot be told from a next request.
        self._closes_after = self._closes_after or close or self.head.content_length != 0
        if code == "account_suspended":
            self._row = self._core.anonymous_row  # X15: nothing billed while suspended, its bytes neither.
        # Inside a service they are a side of their own, before one they are nobody's anyway (X11).
        aside = 0 if self._row == self._core.anonymous_row else REFUSED_BESIDE_CLIENT
        # Where content was being forwarded, what acknowledged it stays, as what was sent upstream of it does.
        turn = self.wire.turn_to if self._content_left else self.wire.give_to
        turn(self._row + aside, self._started_ns)
        self._egress_offset += aside
        self._answer(code, detail, fields)
        self._egress_offset -= aside

    def _fail(self, code: str, detail: str) -> None:
        """A failure behind the gateway: a valid call all the same (B5)."""
        self._count_failed_call()
        self._meter.cells[self._row + BACKEND_ERRORS[code]] += 1
        if self._is_answered:
            self._cut_short()
            return
        self._answer(code, detail, b"")

    def _cut_short(self) -> None:
        """Part of the answer is out: cutting it short, visibly, is all that is left."""
        self._end_exchange()
        self._state = LINGER
        self._core.outbox.flush()
        if not self.head.is_http11:
            # Its content may end by the close, so a close would look like its end: a reset does not (RFC 9112 8).
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def _answer(self, code: str, detail: str, fields: bytes) -> None:
        if self._core.is_draining or self._content_left or not self.is_content_sent:
            self._closes_after = True
        if not self._cors_fields and (service := self._service) is not None and service.cors is not None:
            self._cors_fields = service.cors.fields(self.head)  # Whatever was refused, a page that may ask reads why.
        more = self._core.date_field + fields + self._limits.fields(time.monotonic_ns()) + self._cors_fields
        closes, has_content = self._closes_after, self.head.method != b"HEAD"
        text = problem_response(PROBLEMS[code], detail, self._request_id, more, close=closes, with_content=has_content)
        self.relay(text)
        self._end_exchange()
        self._next()

    # --- counts, and the end of every exchange

    def _count_call(self) -> None:
        """Counts the exchange once: a call, or a WebSocket connection (B6)."""
        if not self.is_counted:
            match = self._match
            if match is not None and match.is_undecided:
                if not self._is_answered:
                    return
                self._decide(match, is_websocket=self._state is TUNNEL)
                match = self._match
            self.is_counted = True
            is_websocket = match is not None and match.is_websocket
            self._meter.cells[self._row + (WEBSOCKET_CONNECTIONS if is_websocket else CALLS)] += 1

    def _count_failed_call(self) -> None:
        match = self._match
        if match is not None and match.is_undecided:
            self._decide(match, is_websocket=self._state is TUNNEL)
        self._count_call()

    def _decide(self, match: Match, *, is_websocket: bool) -> None:
        """An upgrade was asked for, where requests are calls too: one that opens no tunnel is a call."""
        self._match = match.in_place(is_websocket=is_websocket)

    def _count_front_error(self, code: str) -> None:
        self._meter.cells[self._row + FRONTEND_ERRORS[code]] += 1

    def _end_exchange(self) -> None:
        """Where every exchange ends, whatever became of it."""
        match = self._match
        cells, row = self._meter.cells, self._row
        now_ns = time.monotonic_ns()
        self._core.now_s = now_ns / 1e9
        if self.is_counted and match is not None and not match.is_websocket:  # The histogram covers calls.
            duration_us = (now_ns - self._started_ns) // 1000
            cells[row + DURATION_SUM_US] += duration_us
            cells[row + DURATION_BUCKETS + bisect_left(_BOUNDS_US, duration_us)] += 1
        else:
            cells[row + OTHER_ENDS] += 1
        self._match = self._unmatched = None
        self._limits = NO_LIMITS
        self._cors_fields = b""
        self._row = self._core.anonymous_row
        self.is_counted = False

    def _next(self) -> None:
        """After an answer: the next request, or the end of the connection."""
        if self._closes_after:
            self._close()
            return
        self._state = HEAD
        if self.is_write_paused:
            # It asks on without reading its answers: they would pile up here. On when it has read.
            self.pause_reading()
            self.deadline_s = self._core.now_s + self._core.bounds.idle_timeout_s
        else:
            self._wait_for_request()

    def _wait_for_request(self) -> None:
        self.deadline_s = self._core.now_s + self._core.bounds.idle_timeout_s
        # Kept until the next request, long heads made idle connections three times as large.
        self.head.let_go()
        if self._is_reading:
            return
        if self._is_read_paused:
            self.resume_reading()
        if self._buffer or self._is_half_closed:
            # Not from here: a client that pipelines many requests would be a recursion as deep.
            if self._refusals >= REFUSALS_PATIENCE:
                self._ask_for_turn()
            else:
                self._core.loop.call_soon(self._read_on)

    def _close_transport(self) -> None:
        self._core.outbox.flush()
        self.transport.close()

    def _close(self) -> None:
        """Closes; reads on a little where the client may still be sending (RFC 9112 9.6)."""
        self._buffer = b""
        self._buffer_at = 0
        was_sending = self._content_left != 0 or self.head.content_length != 0
        self._state = LINGER
        self._content_left = 0
        self._decoder = None
        self.deadline_s = self._core.now_s + LINGER_S
        self._core.outbox.flush()
        if was_sending and self.transport.can_write_eof():
            self.resume_reading()
            self.transport.write_eof()
        else:
            self.transport.close()
