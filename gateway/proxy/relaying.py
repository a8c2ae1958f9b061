"""A client's connection from where its request is admitted: sends it on, and relays the answer.

Everything here is callbacks without awaits, but for the making of a connection: a step either finishes or leaves its
state in the slots.
"""

from __future__ import annotations

import time
from math import inf
from typing import Final

from gateway.http.chunked import LAST_CHUNK, ChunkedDecoder, chunk, last_chunk
from gateway.http.request import CHUNKED
from gateway.http.response import ResponseHead
from gateway.http.trailers import legal_trailers
from gateway.proxy.client_address import UNKNOWN, Address
from gateway.proxy.core import Core
from gateway.proxy.cors import without_cors
from gateway.proxy.dialing import DialError, dial
from gateway.proxy.forwarding import response_text
from gateway.proxy.kept import IDEMPOTENT, KeptContent
from gateway.proxy.matching import Match
from gateway.proxy.pinned import Pinned
from gateway.proxy.receiving import RATE_INTERVAL_S, Receiving
from gateway.proxy.slow import make_room
from gateway.proxy.state import EXCHANGE, TUNNEL
from gateway.proxy.target import Target
from gateway.proxy.upstream import UpstreamConnection
from metering.cells import BACKEND_ERRORS, CALLS, INGRESS, WEBSOCKET_CONNECTIONS

_CLOSED: Final = "the upstream closed without an answer"
_BACKEND_4XX: Final = BACKEND_ERRORS["backend_4xx"]
_BACKEND_5XX: Final = BACKEND_ERRORS["backend_5xx"]


class Relaying(Receiving):
    """Slots stand in the order of their lifetime."""

    __slots__ = (
        # the connection
        "_pinned",
        # the exchange
        "_text",
        "_picked_s",
        "_retries",
        "_is_chunking",
    )

    def __init__(self, core: Core, network: str, scheme: str, address: Address = UNKNOWN) -> None:
        super().__init__(core, network, scheme, address)
        self._pinned: Pinned | None = None
        self._text = b""
        self._picked_s = 0.0  # when its target was chosen
        self._retries = 0
        self._is_chunking = False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._pinned is not None:
            self._pinned.close()

    # --- forwarding

    def _forward(self, match: Match, target: Target | None, length: int) -> None:
        """Begins the exchange with the upstream. ``target`` None: it has to be chosen."""
        core = self._core
        self._picked_s = now_s = core.now_s
        self._refusals = 0
        self._content_left = length
        self._is_answered = self._is_chunking = self.has_content_begun = False
        self._retries = 0
        if length:
            self.is_content_sent = False
            self.wire.expect_bulk()
            self._content_bytes = 0
            self._kept = KeptContent() if match.service.retries and self.head.method in IDEMPOTENT else None
            self._content_began_s = now_s
            self._rate_due_s = now_s + RATE_INTERVAL_S
            self._window_s, self._window_bytes, self._is_dripping = now_s, 0, False
            self._decoder = ChunkedDecoder() if length == CHUNKED else None
            self.deadline_s = now_s + core.bounds.body_timeout_s
        else:
            self.is_content_sent = True
            self._count_call()
        if self._pending:
            # It waited for a connection that never came; before this head it would be a request of its own.
            self._pending = []
        if self._pinned is not None and (pinned := self._pinned.take(match.service)) is not None:
            self._text = self._request_text(match, pinned.target)
            self._send_head(match, pinned.target, pinned)
            return
        if target is None:
            target = match.service.targets.pick(now_s, self)
        if target is None:
            self._fail("no_healthy_target", "no target of the service is healthy")
        elif length and target.is_half_full:
            self._gather()
        else:
            self._send_to(match, target)

    def _send_gathered(self) -> None:
        match = self._match
        assert match is not None
        self._is_gathering = False
        self._picked_s = now_s = self._core.now_s
        target = match.service.targets.pick(now_s, self)
        if target is None:
            self._fail("no_healthy_target", "no target of the service is healthy")
        else:
            self._send_to(match, target)

    def _send_to(self, match: Match, target: Target, *, is_fresh: bool = False) -> None:
        self._text = self._request_text(match, target)
        idle = target.pool.idle
        if idle and target.has_room and not is_fresh:
            self._send_head(match, target, idle.popitem()[0])
            return
        self._is_connecting = True
        if self._content_left:
            self.pause_reading()
        core = self._core
        if not target.has_room:
            make_room(core, target)
        target.coming += 1
        core.keep(core.loop.create_task(self._connect(match, target), name="connect"))

    async def _connect(self, match: Match, target: Target) -> None:
        exchange = self._request_id
        target.coming -= 1
        try:
            connection = await dial(self._core, target, match.service)
        except DialError as error:
            if self._is_awaiting(exchange):
                self._retry_or_fail(match, target, error.code, error.detail)
            return
        self._core.read_clock()
        if self._is_awaiting(exchange):
            self._send_head(match, target, connection)
        elif not connection.pool.idle and connection.pool.takes_back:
            connection.rest()  # The client left meanwhile; the next one finds it.
        else:
            connection.abort()

    def _is_awaiting(self, exchange: bytes) -> bool:
        if self._is_connecting and self._state is EXCHANGE and self._request_id == exchange:
            self._is_connecting = False
            return True
        return False

    def _retry_or_fail(self, match: Match, target: Target, code: str, detail: str, *, is_fresh: bool = False) -> None:
        """Nothing of this request has been answered. Another target, when the rules of DESIGN 1.2 let us.

        ``is_fresh``: on a connection of its own making, not on one that was at rest.
        """
        core, cells, service = self._core, self._meter.cells, match.service
        calls = cells[self._row + CALLS] + cells[self._row + WEBSOCKET_CONNECTIONS]
        now_s = core.read_clock()
        if self._retries < service.retries and service.retry_budget.take(calls, now_s):
            self._retries += 1
            self._picked_s = now_s
            other = service.targets.pick(now_s, self, avoid=target)
            if other is not None:
                self._send_to(match, other, is_fresh=is_fresh)
                return
        self._fail(code, detail)

    def _send_head(self, match: Match, target: Target, upstream: UpstreamConnection) -> None:
        self._upstream = upstream
        upstream.begin(self, target, self._row, self._started_ns)
        text, self._text = self._text, b""
        if self._pending:
            text += b"".join(self._pending)
            self._pending = []
            self.has_content_begun = True
        # Before the write, which may pause both again.
        if self.is_content_sent:
            upstream.deadline_s = self._core.now_s + match.response_timeout_s
        else:
            upstream.deadline_s = inf
            upstream.wire.expect_bulk()
        self.resume_reading()
        self._send_upstream(upstream, text)

    def _send_upstream(self, upstream: UpstreamConnection, data: bytes) -> None:
        size = len(data)
        self._meter.cells[self._row + upstream.egress_offset] += size
        upstream.wire.hand_over(size)
        self._core.outbox.write(upstream.transport, data)  # type: ignore[arg-type]
        if self._state is TUNNEL:
            upstream.deadline_s = self._core.read_clock() + self.service_idle_timeout_s

    def pin(self, upstream: UpstreamConnection) -> None:
        """The exchange ends on a connection that this client logs in: it is no other client's any more."""
        service = self._service
        assert service is not None
        if self._pinned is None:
            self._pinned = Pinned()
        self._pinned.put(service.id, upstream)

    # --- the answer, called by the upstream connection

    def begin_interim(self, head: ResponseHead) -> None:
        """A 1xx but 101: passed to clients that know of them (RFC 9110 15.2)."""
        if self.head.is_http11 and (head.status != 100 or self.head.expects_continue):
            self.relay(head.status_line + head.fields + b"\r\n")

    def begin_answer(self, head: ResponseHead, content: bytes) -> None:
        self._is_answered = True
        self._kept = None
        self._count_call()  # The upstream answers: a call, if its content is still under way.
        status = head.status
        if status >= 400:
            self._meter.cells[self._row + (_BACKEND_5XX if status >= 500 else _BACKEND_4XX)] += 1
        now_ns = time.monotonic_ns()
        self._core.now_s = now_ns / 1e9
        more = self._limits.fields(now_ns)
        if not head.is_dated:
            more += self._core.date_field
        if self._cors_fields:
            more += self._cors_fields
            head.fields = without_cors(head.fields)
        if head.names_places:
            self._mend_places(head)
        if self._core.is_draining or not self.is_content_sent:
            self._closes_after = True  # An early answer: what follows of the request cannot be told from the next.
        if head.framing < 0:
            if self.head.is_http11:
                self._is_chunking = True
                more += b"Transfer-Encoding: chunked\r\n"
            else:
                self._closes_after = True
        if self._closes_after:
            more += b"Connection: close\r\n"
        elif not self.head.is_http11:
            more += b"Connection: keep-alive\r\n"
        self.relay(response_text(head, self._request_id, more, content))

    def _mend_places(self, head: ResponseHead) -> None:
        """Where the answer points to, as the client sees it."""
        service, upstream = self._service, self._upstream
        if service is not None and service.location is not None and upstream is not None:
            target = upstream.target
            url = (b"https://" if target.place.is_tls else b"http://") + target.host_field
            head.fields = service.location.mended(head.fields, target.base_path, url, self.head)

    def relay_framed(self, content: bytes) -> None:
        """Content whose length was not declared."""
        self.relay(chunk(content) if self._is_chunking else content)

    def end_answer(self, status: int, trailers: bytes = b"") -> None:
        """The upstream's answer is complete and handed to the socket."""
        upstream = self._upstream
        if upstream is not None:
            if status >= 500 and (service := self._service) is not None and service.ejects_on_5xx:
                upstream.target.failed(self._core.now_s)
            elif upstream.target.failures or upstream.target.is_ejected:
                upstream.target.succeeded(self._picked_s)
            self._upstream = None
        if self._is_chunking:
            # RFC 9110 6.5.1: to who takes none they may be dropped.
            self.relay(last_chunk(legal_trailers(trailers)) if trailers and self.head.takes_trailers else LAST_CHUNK)
        self._end_exchange()
        self._next()

    def upstream_lost(self, upstream: UpstreamConnection) -> None:
        """It closed before a byte of the answer: sent again where that cannot do a thing twice."""
        self._upstream = None
        match = self._match
        assert match is not None
        if self.has_content_begun and self._kept is not None and self._kept.pieces is not None:
            self._pending, self.has_content_begun = self._kept.pieces.copy(), False
        if self.head.method in IDEMPOTENT and not self.has_content_begun:
            # It had closed while at rest, perhaps, and others at rest may have too: on a new connection.
            self._retry_or_fail(match, upstream.target, "bad_gateway", _CLOSED, is_fresh=True)
        else:
            self._fail("bad_gateway", _CLOSED)

    def upstream_failed(self, code: str, detail: str) -> None:
        self._upstream = None
        self._fail(code, detail)

    def begin_tunnel(self, head: ResponseHead, rest: bytes) -> None:
        self._is_answered = True
        self._state = TUNNEL
        self.wire.expect_bulk()
        more = b"Connection: Upgrade\r\nUpgrade: " + head.upgrade + b"\r\n"
        self.relay(response_text(head, self._request_id, more, rest))
        if self._upstream is not None:
            self._upstream.target.succeeded(self._picked_s)
            self._upstream.deadline_s = self._core.read_clock() + self.service_idle_timeout_s
            data = self._take_buffer()
            self.resume_reading()  # Before the write, which may pause it again.
            if data:
                self._meter.cells[self._row + INGRESS] += len(data)
                self._send_upstream(self._upstream, data)

    def end_tunnel(self) -> None:
        self._upstream = None
        self._end_exchange()
        self._close()
