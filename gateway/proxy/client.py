"""The connection of a client: reads requests in order, decides on each, forwards it and relays its answer.

Everything here is callbacks without awaits: a step either finishes or leaves its state in the slots.
"""

from __future__ import annotations

import time
from math import inf
from typing import Final

from gateway.http.chunked import LAST_CHUNK, ChunkedDecoder, chunk, last_chunk
from gateway.http.errors import ProtocolError
from gateway.http.grammar import EMPTY_LINES
from gateway.http.request import CHUNKED
from gateway.http.response import ResponseHead
from gateway.http.trailers import legal_trailers
from gateway.proxy.admitting import Admitting
from gateway.proxy.core import Core
from gateway.proxy.cors import CorsRule, preflight_method, without_cors
from gateway.proxy.dialing import DialError, dial
from gateway.proxy.downstream import UNKNOWN
from gateway.proxy.forwarding import appended_forwarded_fields, request_text, response_text
from gateway.proxy.matching import Match, Unmatched
from gateway.proxy.service import Address, Service
from gateway.proxy.state import EXCHANGE, HEAD, TUNNEL
from gateway.proxy.target import Target
from gateway.proxy.upstream import UpstreamConnection
from metering.cells import BACKEND_ERRORS, CALLS, INGRESS, WEBSOCKET_CONNECTIONS

PIPELINED_BYTES_MAX: Final = 64 * 1024  # Beyond it reading stops until the exchange under way has ended.
_IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))  # RFC 9110 9.2.2
_BACKEND_4XX, _BACKEND_5XX = BACKEND_ERRORS["backend_4xx"], BACKEND_ERRORS["backend_5xx"]


class ClientConnection(Admitting):
    """One client. Slots stand in the order of their lifetime."""

    __slots__ = (
        # the connection
        "_tail",
        "_tail_host",
        # the exchange
        "_has_content_begun",
        "_text",
        "_pending",
        "_retries",
        "_is_chunking",
    )

    def __init__(self, core: Core, network: str, scheme: str, address: Address = UNKNOWN) -> None:
        """``address``: the client's, where it is not the transport's peer (PROXY protocol)."""
        super().__init__(core, network, scheme, address)
        self._tail = b""  # The fields we add upstream, for requests with this Host.
        self._tail_host: bytes | None = None
        self._has_content_begun = False
        self._text = b""
        self._pending: list[bytes] = []
        self._retries = 0
        self._is_chunking = False

    # --- bytes from the client

    def eof_received(self) -> bool:
        """A half-close: the client may still be reading, so every request that came whole is answered first."""
        self._core.outbox.flush()  # Where this returns False the loop closes, and drops what is written later.
        if self._waiting is not None:
            return False  # Whoever left looks the same, and would use up the capacity that it waits for.
        if (self._state is EXCHANGE and self._content_left == 0) or (self._state is HEAD and self._buffer):
            self._is_half_closed = True
            if self._state is HEAD:
                self._read_requests(self._buffer)
            return self._scheme != b"https"  # The loop closes TLS both ways, and warns when asked not to.
        return False

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state is HEAD:
            self._read_requests(self._buffer + data if self._buffer else data)
        elif state is EXCHANGE:
            if self._content_left:
                self._read_content(data)
            else:
                self._buffer += data
                self.wire.expect_bulk()
                if len(self._buffer) > PIPELINED_BYTES_MAX:
                    self.pause_reading()
        elif state is TUNNEL and self._upstream is not None:
            self._meter.cells[self._row + INGRESS] += len(data)
            self._send_upstream(self._upstream, data)

    # --- reading requests

    def _read_requests(self, data: bytes) -> None:
        """Reads heads while there are whole ones and no exchange is under way."""
        core = self._core
        bounds = core.bounds
        head = self.head
        while self._state is HEAD:
            if data[:1] == b"\r":
                data = data[EMPTY_LINES.match(data).end() :]  # type: ignore[union-attr]
            if not data:
                self._buffer = b""
                if self._is_half_closed:
                    self._close_transport()
                return
            self._started_ns = time.monotonic_ns()
            try:
                head_bytes = head.parse(data, bounds.head_bytes_max, bounds.target_bytes_max, bounds.fields_max)
                if head_bytes == 0:
                    # A lone CR is no head begun yet: one at a time, each with its LF late, would go on for ever.
                    if not self._buffer and data != b"\r":
                        self.deadline_s = core.now_s + bounds.head_timeout_s
                    self._buffer = data
                    if self._is_half_closed:
                        self._close_transport()
                    return
            except ProtocolError as error:
                self._begin_refusal()
                self._meter.cells[core.anonymous_row + INGRESS] += len(data)
                self._refuse(error.code, error.detail, close=True)
                return
            self._buffer = b""
            data = data[head_bytes:] if len(data) > head_bytes else b""
            self._begin_exchange(head_bytes)
            if data:
                self.wire.expect_bulk()  # More requests, that do not wait for answers: those may be joined.
            if data and self._content_left and self._is_exchanging():
                content, data = data, b""
                self._read_content(content)
        if data:
            self._buffer = self._buffer + data if self._buffer else data
        if self._is_half_closed and self._content_left and self._is_exchanging():
            self._close_transport()  # The rest of the content will not come.

    def _read_on(self) -> None:
        if self._state is HEAD and (self._buffer or self._is_half_closed) and not self.is_write_paused:
            self._read_requests(self._buffer)

    def _is_exchanging(self) -> bool:
        return self._state is EXCHANGE

    def _begin_exchange(self, head_bytes: int) -> None:
        """Routes, checks in the order of DESIGN 1.7, admits and forwards, or refuses."""
        core = self._core
        head = self.head
        self._state = EXCHANGE
        self._request_id = head.request_id or core.next_request_id()
        self._closes_after = not head.keeps_alive
        self.deadline_s = inf
        match = core.matcher.find(head)
        if isinstance(match, Unmatched):
            asked_for = self._preflighted(match)
            if asked_for is None:
                self._refuse_unmatched(match, head_bytes)
                return
            match = asked_for
        self._match = match
        self._row = row = match.row
        if row != self.wire.row:
            self.wire.turn_to(row, self._started_ns)
        self._meter.cells[row + INGRESS] += head_bytes
        if match.has_checks:
            if not self._passes_checks(match.service):
                return
        elif head.upgrade:
            head.upgrade = b""  # RFC 9110 7.8: an upgrade may be ignored; an http service forwards none.
        length = head.content_length
        if length > 0 and length > match.service.body_bytes_max:
            bytes_max = match.service.body_bytes_max
            self._refuse("body_too_large", f"the content is longer than {bytes_max} bytes", close=True)
            return
        if match.is_plainly_limited:
            self._limits = limits = match.enforced
            refused = limits.admit(self._started_ns)
            if refused is not None:
                self._refuse_over(refused)
                return
        elif not self._passes_limits(match, match.service, length):
            return
        self._forward(match, length)

    def _refuse_unmatched(self, unmatched: Unmatched, head_bytes: int) -> None:
        service = unmatched.service
        self._row = self._core.anonymous_row
        if service is not None:
            self._unmatched = service
            self._row = service.row
        self.wire.turn_to(self._row, self._started_ns)
        self._meter.cells[self._row + INGRESS] += head_bytes
        self._refuse(unmatched.code, unmatched.detail, unmatched.fields, close=unmatched.closes)

    def _passes_checks(self, service: Service) -> bool:
        """Protocol, account state, address and key; refuses where one of them does."""
        head = self.head
        if service.is_websocket:
            if head.upgrade.lower() != b"websocket":
                fields = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
                self._refuse("upgrade_required", "this service is WebSocket only", fields)
                return False
            if head.content_length:
                # Some readers take content for content here, others for the first of the other protocol.
                self._refuse("bad_request", "a WebSocket handshake has no content", close=True)
                return False
        elif head.upgrade:
            head.upgrade = b""
        if not service.instance.is_serving:
            self._refuse("account_suspended", "the account is suspended")
            return False
        if service.addresses is not None and not service.addresses.admits(self.client_address()):
            self._refuse("forbidden", "the client's address is not allowed here")
            return False
        if service.cors is not None:
            if preflight_method(head) is not None:
                self._take_preflight(service.cors)
                return False
            self._cors_fields = service.cors.fields(head)
        keys = service.keys
        if keys is not None:
            value = keys.value_in(head)
            key = None if value is None else keys.key_of(value)
            if key is None:
                self._refuse("unauthorized", "the API key is missing or wrong", b"WWW-Authenticate: ApiKey\r\n")
                return False
            self._key = key
            if keys.strip:
                head.fields = keys.stripped(head.fields)
        return True

    def _preflighted(self, unmatched: Unmatched) -> Match | None:
        """Routes seldom take OPTIONS; a preflight goes by the route that takes the method it asks for."""
        service = unmatched.service
        if service is None or service.cors is None or unmatched.code != "method_not_allowed":
            return None
        method = preflight_method(self.head)
        match = None if method is None else self._core.matcher.find_preflighted(self.head, method)
        return match if isinstance(match, Match) else None

    def _take_preflight(self, cors: CorsRule) -> None:
        """Answered here, before any key: browsers send none. A call of the API it asks for (X11), within its limits."""
        match = self._match
        assert match is not None
        fields = cors.preflight(self.head)
        if fields is None:
            self._refuse("forbidden", "the origin is not allowed here")
            return
        self._limits = limits = match.route.enforced
        refused = limits.admit(self._started_ns)
        if refused is not None:
            self._refuse_over(refused)
            return
        self._answer_preflight(fields)

    def _answer_preflight(self, fields: bytes) -> None:
        self._count_call()
        if self._core.is_draining or self.head.content_length:
            self._closes_after = True
        connection = b"Connection: close\r\n" if self._closes_after else b""
        self.relay(
            b"HTTP/1.1 204 No Content\r\n%bX-Request-Id: %b\r\n%b%b%b\r\n"
            % (self._core.date_field, self._request_id, fields, self._limits.fields(time.monotonic_ns()), connection)
        )
        self._end_exchange()
        self._next()

    # --- forwarding

    def _forward(self, match: Match, length: int) -> None:
        core = self._core
        self._content_left = length
        self._is_answered = self._is_chunking = self._has_content_begun = False
        self._retries = 0
        if length:
            self.is_content_sent = False
            self.wire.expect_bulk()
            self._content_bytes = 0
            self._decoder = ChunkedDecoder() if length == CHUNKED else None
            self.deadline_s = core.now_s + core.bounds.body_timeout_s
        else:
            self.is_content_sent = True
            self._count_call()
        if self._pending:
            # It waited for a connection that never came; before this head it would be a request of its own.
            self._pending = []
        target = match.only_target
        if target is None or target.is_probed_down:
            target = match.service.targets.pick(core.now_s, self)
        if target is None:
            self._fail("no_healthy_target", "no target of the service is healthy")
        else:
            self._send_to(match, target)

    def _send_to(self, match: Match, target: Target) -> None:
        self._text = self._request_text(match, target)
        idle = target.pool.idle
        if idle and target.has_room:
            connection, _ = idle.popitem()
            self._send_head(match, target, connection)
            return
        self._is_connecting = True
        if self._content_left:
            self.pause_reading()
        core = self._core
        core.keep(core.loop.create_task(self._connect(match, target), name="connect"))

    def _request_text(self, match: Match, target: Target) -> bytes:
        """The head as this target is sent it."""
        head = self.head
        line = match.upstream_line
        if line is None:
            line = head.method + b" " + target.base_path + match.forwarded
        host_field = None if match.preserves_host and head.host else target.host_field
        if head.is_marked and (head.forwarded_for or head.via or head.forwarded_proto or head.forwarded_host):
            named_host = head.forwarded_host if self._is_trusted and head.forwarded_host else head.host
            tail = appended_forwarded_fields(
                head, self._address_text, self._scheme, named_host, is_trusted=self._is_trusted
            )
        else:
            if head.host is not self._tail_host:
                self._tail_host = head.host
                self._tail = self._forwarded + head.host + b"\r\nX-Request-Id: "
            tail = self._tail
        return request_text(head, line, host_field, tail, self._request_id)

    async def _connect(self, match: Match, target: Target) -> None:
        exchange = self._request_id
        try:
            connection = await dial(self._core, target, match.service)
        except DialError as error:
            if self._is_awaiting(exchange):
                self._retry_or_fail(match, target, error.code, error.detail)
            return
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

    def _retry_or_fail(self, match: Match, target: Target, code: str, detail: str) -> None:
        """Nothing of this request has been answered. Another target, when the rules of DESIGN 1.2 let us."""
        core, cells, service = self._core, self._meter.cells, match.service
        calls = cells[self._row + CALLS] + cells[self._row + WEBSOCKET_CONNECTIONS]
        if self._retries < service.retries and service.retry_budget.take(calls, core.now_s):
            self._retries += 1
            other = service.targets.pick(core.now_s, self, avoid=target)
            if other is not None:
                self._send_to(match, other)
                return
        self._fail(code, detail)

    def _send_head(self, match: Match, target: Target, upstream: UpstreamConnection) -> None:
        self._upstream = upstream
        upstream.begin(self, target, self._row, self._started_ns)
        text, self._text = self._text, b""
        if self._pending:
            text += b"".join(self._pending)
            self._pending = []
            self._has_content_begun = True
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
            upstream.deadline_s = self._core.now_s + self.service_idle_timeout_s

    def _read_waiting_content(self) -> None:
        if self._content_left and self._buffer and self._is_exchanging():
            data, self._buffer = self._buffer, b""
            self._read_content(data)

    def _read_content(self, data: bytes) -> None:
        """Content as it comes: counted, held to the cap, sent on in the framing it came in."""
        service = self._service
        assert service is not None
        self.deadline_s = self._core.now_s + self._core.bounds.body_timeout_s
        if self._decoder is None:
            left = self._content_left - len(data)
            if left < 0:
                self._buffer = data[left:]
                data = data[:left]
                left = 0
            self._content_left = left
            self._meter.cells[self._row + INGRESS] += len(data)
        else:
            try:
                content = self._decoder.decode(data)
            except ProtocolError as error:
                self._drop_upstream()
                self._refuse(error.code, error.detail, close=True)
                return
            self._meter.cells[self._row + INGRESS] += len(content)
            self._content_bytes += len(content)
            if self._content_bytes > service.instance.body_bytes_max:
                self._drop_upstream()
                detail = f"the content is longer than {service.instance.body_bytes_max} bytes"
                self._refuse("body_too_large", detail, close=True)
                return
            data = chunk(content) if content else b""
            if self._decoder.is_done:
                self._buffer = self._decoder.rest
                self._decoder = None
                self._content_left = 0
                data += LAST_CHUNK
        upstream = self._upstream
        if data:
            if upstream is not None:
                self._has_content_begun = True
                self._send_upstream(upstream, data)
            elif self._is_connecting:
                self._pending.append(data)
        if self._content_left == 0:
            self.deadline_s = inf
            self.is_content_sent = True
            self._count_call()
            if upstream is not None:
                upstream.deadline_s = self._core.now_s + service.response_timeout_s

    # --- the answer, called by the upstream connection

    def begin_interim(self, head: ResponseHead) -> None:
        """A 1xx but 101: passed to clients that know of them (RFC 9110 15.2)."""
        if self.head.is_http11 and (head.status != 100 or self.head.expects_continue):
            self.relay(head.status_line + head.fields + b"\r\n")

    def begin_answer(self, head: ResponseHead, content: bytes) -> None:
        self._is_answered = True
        self._count_call()  # The upstream answers: a call, if its content is still under way.
        status = head.status
        if status >= 400:
            self._meter.cells[self._row + (_BACKEND_5XX if status >= 500 else _BACKEND_4XX)] += 1
        more = self._limits.fields(time.monotonic_ns())
        if not head.is_dated:
            more += self._core.date_field
        if self._cors_fields:
            more += self._cors_fields
            head.fields = without_cors(head.fields)
        if not self.is_content_sent:
            self._closes_after = True  # An early answer: what follows of the request cannot be told from the next.
        if head.framing < 0:
            if self.head.is_http11:
                self._is_chunking = True
                more += b"Transfer-Encoding: chunked\r\n"
            else:
                self._closes_after = True
        if self._core.is_draining:
            self._closes_after = True
        if self._closes_after:
            more += b"Connection: close\r\n"
        elif not self.head.is_http11:
            more += b"Connection: keep-alive\r\n"
        self.relay(response_text(head, self._request_id, more, content))

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
                upstream.target.succeeded(self._started_ns / 1e9)
            self._upstream = None
        if self._is_chunking:
            if trailers and self.head.takes_trailers:
                self.relay(last_chunk(legal_trailers(trailers)))  # RFC 9110 6.5.1: else they may be dropped.
            else:
                self.relay(LAST_CHUNK)
        self._end_exchange()
        self._next()

    def upstream_lost(self, upstream: UpstreamConnection) -> None:
        """It closed before a byte of the answer: sent again where that cannot do a thing twice."""
        self._upstream = None
        match = self._match
        assert match is not None
        is_safe = self.head.method in _IDEMPOTENT and not self._has_content_begun
        if is_safe and upstream.is_reused:
            # It had closed while at rest, most likely; that costs no retry, and each such try uses one up.
            self._send_to(match, upstream.target)
        elif is_safe:
            self._retry_or_fail(match, upstream.target, "bad_gateway", "the upstream closed without an answer")
        else:
            self._fail("bad_gateway", "the upstream closed without an answer")

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
            self._upstream.target.succeeded(self._started_ns / 1e9)
            self._upstream.deadline_s = self._core.now_s + self.service_idle_timeout_s
            if self._buffer:
                data, self._buffer = self._buffer, b""
                self._meter.cells[self._row + INGRESS] += len(data)
                self._send_upstream(self._upstream, data)

    def end_tunnel(self) -> None:
        self._upstream = None
        self._end_exchange()
        self._close()
