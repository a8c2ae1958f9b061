"""The connection of a client: reads requests in order, and is where each exchange begins and ends.

Everything here is callbacks without awaits: a step either finishes or leaves its state in the slots below.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from bisect import bisect_left
from enum import IntEnum
from math import inf
from typing import Final, cast

from gateway.http.chunked import LAST_CHUNK, ChunkedDecoder, chunk
from gateway.http.errors import ProtocolError
from gateway.http.grammar import EMPTY_LINES
from gateway.http.problem import PROBLEMS, problem_response
from gateway.http.request import CHUNKED, RequestHead
from gateway.http.response import ResponseHead
from gateway.limits.limit import Limit
from gateway.proxy.core import Core
from gateway.proxy.forwarding import appended_forwarded_fields, forwarded_fields, request_text, response_text
from gateway.proxy.service import Address, Route, Service
from gateway.proxy.target import Target
from gateway.proxy.upstream import UpstreamConnection
from gateway.routing.path import normal_path
from metering.cells import (
    BACKEND_ERRORS,
    CALLS,
    DURATION_BOUNDS_S,
    DURATION_BUCKETS,
    DURATION_SUM_US,
    FRONTEND_ERRORS,
    INGRESS,
    WEBSOCKET_CONNECTIONS,
    egress_cell,
)

PIPELINED_BYTES_MAX: Final = 64 * 1024  # Beyond it reading stops until the exchange under way has ended.
LINGER_S: Final = 2.0  # RFC 9112 9.6: how long a closing side reads on, so that its answer is not reset away.
_BOUNDS_US: Final = [round(bound * 1e6) for bound in DURATION_BOUNDS_S]
_IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))  # RFC 9110 9.2.2
_BACKEND_4XX, _BACKEND_5XX = BACKEND_ERRORS["backend_4xx"], BACKEND_ERRORS["backend_5xx"]


class State(IntEnum):
    """What the client's next bytes are."""

    HEAD = 0  # a request's head, or a part of it
    EXCHANGE = 1  # its content, or the next requests while the answer is awaited
    TUNNEL = 2  # another protocol's
    LINGER = 3  # nothing: answered and closing, read and dropped


# An enum's member costs a descriptor at each use, a global does not (0.05 us, ten times a request).
HEAD, EXCHANGE, TUNNEL, LINGER = State


class ClientConnection(asyncio.Protocol):
    """One client. Slots stand in the order of their lifetime."""

    __slots__ = (
        # the connection
        "_core",
        "_meter",
        "_network",
        "_egress_offset",
        "_scheme",
        "_address",
        "_address_text",
        "_is_trusted",
        "_forwarded",
        "transport",
        "head",
        "_buffer",
        "_is_read_paused",
        "_is_write_paused",
        "deadline_s",
        "_state",
        # the exchange
        "_service",
        "_route",
        "_row",
        "_request_id",
        "_started_ns",
        "_content_left",
        "_content_bytes",
        "_decoder",
        "is_content_sent",
        "_has_content_begun",
        "_text",
        "_pending",
        "_retries_left",
        "_upstream",
        "_is_connecting",
        "_is_counted",
        "_is_answered",
        "_is_chunking",
        "_closes_after",
    )

    def __init__(self, core: Core, network: str, scheme: str) -> None:
        self._core = core
        self._meter = core.meter
        self._network = network
        self._egress_offset = egress_cell("client", network, "application")
        self._scheme = scheme.encode()
        self._address: Address = ipaddress.IPv4Address(0)
        self._address_text = b""
        self._is_trusted = False
        self._forwarded = b""
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)  # set before any callback uses it
        self.head = RequestHead()
        self._buffer = b""
        self._is_read_paused = False
        self._is_write_paused = False
        self.deadline_s = inf
        self._state = HEAD
        self._service: Service | None = None
        self._route: Route | None = None
        self._row = core.anonymous_row
        self._request_id = b""
        self._started_ns = 0
        self._content_left = 0
        self._content_bytes = 0
        self._decoder: ChunkedDecoder | None = None
        self.is_content_sent = True
        self._has_content_begun = False
        self._text = b""
        self._pending: list[bytes] = []
        self._retries_left = 0
        self._upstream: UpstreamConnection | None = None
        self._is_connecting = False
        self._is_counted = False
        self._is_answered = False
        self._is_chunking = False
        self._closes_after = False

    # --- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if peer:
            self._address = ipaddress.ip_address(peer[0].partition("%")[0])
            self._address_text = str(self._address).encode()
        core = self._core
        self._is_trusted = bool(core.trusted_proxies) and core.trusts(self._address)
        self._forwarded = forwarded_fields(self._address_text, self._scheme)
        self.deadline_s = core.now_s + core.bounds.head_timeout_s
        core.clients.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._core.clients.discard(self)
        if self._state is EXCHANGE or self._state is TUNNEL:
            # Forwarding began, so it is a call whatever follows (X10).
            self._count_call()
            if self._upstream is not None:
                self._upstream.leave()
                self._upstream = None
            self._end_exchange()
        elif self._state is HEAD and self._buffer:
            # One that sent part of a head is a request (DESIGN 1.7).
            self._count_front_error("bad_request")
        self._state = LINGER
        self._buffer = b""

    def eof_received(self) -> bool:
        """A half-close: the client may still be reading, so an answer under way is finished first."""
        if self._state is EXCHANGE and self._content_left == 0:
            self._closes_after = True
            return True
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
                if len(self._buffer) > PIPELINED_BYTES_MAX:
                    self.pause_reading()
        elif state is TUNNEL and self._upstream is not None:
            self._meter.cells[self._row + INGRESS] += len(data)
            self._send_upstream(self._upstream, data)

    def deadline_passed(self) -> None:
        self.deadline_s = inf
        if self._state is EXCHANGE:
            if self._content_left and not self._is_answered:
                self._drop_upstream()
                self._refuse("request_timeout", "the request's content stalled", close=True)
        elif self._state is HEAD and self._buffer:
            self._begin_refusal()
            self._refuse("request_timeout", "the request's head took too long", close=True)
        else:
            self.transport.abort() if self._state is LINGER else self.transport.close()

    def drain(self) -> None:
        """The worker is leaving: at rest the connection closes, else after the answer under way."""
        if self._state is HEAD and not self._buffer:
            self.transport.close()

    def pause_reading(self) -> None:
        if not self._is_read_paused and not self.transport.is_closing():
            self._is_read_paused = True
            self.transport.pause_reading()
            self.deadline_s = inf  # It is we who do not read.

    def resume_reading(self) -> None:
        if self._is_read_paused and not self.transport.is_closing():
            self._is_read_paused = False
            self.transport.resume_reading()
            if self._content_left:
                self.deadline_s = self._core.now_s + self._core.bounds.body_timeout_s

    def pause_writing(self) -> None:
        """The client reads slowly: so does the upstream connection, and memory stays flat."""
        self._is_write_paused = True
        if self._upstream is not None and self._upstream.transport is not None:
            self._upstream.transport.pause_reading()
            self._upstream.deadline_s = inf

    def resume_writing(self) -> None:
        self._is_write_paused = False
        upstream = self._upstream
        if upstream is not None and upstream.transport is not None:
            upstream.transport.resume_reading()
            upstream.deadline_s = self._core.now_s + self.service_idle_timeout_s

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
                return
            self._started_ns = time.monotonic_ns()
            try:
                head_bytes = head.parse(data, bounds.head_bytes_max, bounds.target_bytes_max, bounds.fields_max)
                if head_bytes == 0:
                    if not self._buffer:
                        self.deadline_s = core.now_s + bounds.head_timeout_s
                    self._buffer = data
                    return
            except ProtocolError as error:
                self._begin_refusal()
                self._meter.cells[core.anonymous_row + INGRESS] += len(data)
                self._refuse(error.code, error.detail, close=True)
                return
            self._buffer = b""
            data = data[head_bytes:] if len(data) > head_bytes else b""
            self._begin_exchange(head_bytes)
            if data and self._content_left and self._is_exchanging():
                content, data = data, b""
                self._read_content(content)
        if data:
            self._buffer = self._buffer + data if self._buffer else data

    def _is_exchanging(self) -> bool:
        return self._state is EXCHANGE

    def _begin_refusal(self) -> None:
        """A request refused before its head was understood."""
        self._state = EXCHANGE
        self._row = self._core.anonymous_row
        self._request_id = self._core.next_request_id()
        self._buffer = b""
        self.head.method = b""
        self.head.content_length = CHUNKED  # Unknown: the client may be sending still.

    def _begin_exchange(self, head_bytes: int) -> None:
        """Routes, checks in the order of DESIGN 1.7, admits and forwards, or refuses."""
        core = self._core
        head = self.head
        self._state = EXCHANGE
        self._request_id = head.request_id or core.next_request_id()
        self._closes_after = not head.keeps_alive
        self._row = core.anonymous_row
        self.deadline_s = inf
        cells = self._meter.cells
        try:
            path = normal_path(head.path)
        except ProtocolError as error:
            cells[core.anonymous_row + INGRESS] += head_bytes
            self._refuse(error.code, error.detail, close=True)
            return
        service = core.router.find(head.host, path)
        if service is None:
            cells[core.anonymous_row + INGRESS] += head_bytes
            self._refuse("no_route", "no service is at this host and path")
            return
        self._service = service
        self._row = row = service.row
        cells[row + INGRESS] += head_bytes
        if service.routes is None:
            route = service.catch_all
        else:
            found, allowed = service.routes.find(head.method, path[service.prefix_bytes :] or b"/")
            if found is None:
                if not allowed:
                    self._refuse("no_route", "the service has no such route")
                else:
                    names = b", ".join(sorted(allowed | ({b"HEAD"} if b"GET" in allowed else set())))
                    self._refuse("method_not_allowed", "no route here takes this method", b"Allow: " + names + b"\r\n")
                return
            route = found
        if service.is_websocket:
            if head.upgrade.lower() != b"websocket":
                self._refuse(
                    "upgrade_required",
                    "this service is WebSocket only",
                    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
                )
                return
        elif head.upgrade:
            head.upgrade = b""  # RFC 9110 7.8: an upgrade may be ignored; an http service forwards none.
        if not service.instance.is_serving:
            self._refuse("account_suspended", "the account is suspended")
            return
        if service.addresses is not None and not service.addresses.admits(self._client_address()):
            self._refuse("forbidden", "the client's address is not allowed here")
            return
        fields = head.fields
        if service.keys is not None:
            if service.keys.key_of(head.raw, head.lowered) is None:
                self._refuse("unauthorized", "the API key is missing or wrong", b"WWW-Authenticate: ApiKey\r\n")
                return
            if service.keys.strip:
                fields = service.keys.stripped(fields)
        length = head.content_length
        if length > service.instance.body_bytes_max:
            self._refuse(
                "body_too_large",
                f"the content is longer than {service.instance.body_bytes_max} bytes",
                close=True,
            )
            return
        self._route = route
        refused = route.enforced.admit(self._started_ns)
        if refused is not None:
            self._refuse_over_limit(refused)
            return
        for shadow in route.shadowed:
            shadow.admit(self._started_ns)  # What it says has no effect: shadow mode refuses nothing.
        self._forward(service, path, fields)

    def _refuse_over_limit(self, limit: Limit) -> None:
        wait = b"Retry-After: %d\r\n" % limit.retry_after_s(self._started_ns)
        self._refuse("rate_limited", f"over the limit of the {limit.level}", wait)

    def _client_address(self) -> Address:
        """The peer, or, where the peer is a trusted proxy, the last address it did not vouch for."""
        if self._is_trusted and self.head.forwarded_for:
            for text in reversed(self.head.forwarded_for.split(b",")):
                try:
                    address = ipaddress.ip_address(text.strip().decode("ascii", "replace"))
                except ValueError:
                    break
                if not self._core.trusts(address):
                    return address
        return self._address

    # --- forwarding

    def _forward(self, service: Service, path: bytes, fields: bytes) -> None:
        head = self.head
        core = self._core
        self._content_left = length = head.content_length
        self._content_bytes = 0
        self._is_answered = self._is_chunking = self._has_content_begun = False
        self._retries_left = service.retries
        if length:
            self.is_content_sent = False
            self._decoder = ChunkedDecoder() if length == CHUNKED else None
            self.deadline_s = core.now_s + core.bounds.body_timeout_s
        else:
            self.is_content_sent = True
            self._count_call()
        forwarded = self._forwarded
        if head.forwarded_for or head.via or head.forwarded_proto or head.forwarded_host:
            if not self._is_trusted:
                head.forwarded_host = b""
            forwarded = appended_forwarded_fields(head, self._address_text, self._scheme, is_trusted=self._is_trusted)
        target = service.targets.pick(core.now_s)
        if target is None:
            self._fail("no_healthy_target", "no target of the service is healthy")
            return
        if service.strips_path:
            path = path[service.prefix_bytes :] or b"/"
        host_field = None if service.preserves_host and head.host else target.host_field
        self._text = request_text(
            head, fields, target.base_path + path + head.query, host_field, forwarded, self._request_id
        )
        self._send_to(service, target)

    def _send_to(self, service: Service, target: Target) -> None:
        idle = target.idle
        if idle:
            self._send_head(service, idle.pop())
            return
        self._is_connecting = True
        if self._content_left:
            self.pause_reading()
        core = self._core
        core.keep(core.loop.create_task(self._connect(service, target), name="connect"))

    async def _connect(self, service: Service, target: Target) -> None:
        core = self._core
        exchange = self._request_id
        try:
            async with asyncio.timeout(service.connect_timeout_s):
                _, connection = await core.loop.create_connection(
                    lambda: UpstreamConnection(core, target, service.pool_idle_s),
                    target.host,
                    target.port,
                    ssl=target.tls,
                    local_addr=target.local_address,
                )
        except TimeoutError:
            target.failed(core.now_s)
            if self._is_awaiting(exchange):
                self._fail("gateway_timeout", "connecting to the upstream took too long")
            return
        except OSError as error:
            target.failed(core.now_s)
            if self._is_awaiting(exchange):
                self._retry_or_fail(service, target, f"the upstream cannot be reached ({error.__class__.__name__})")
            return
        if self._is_awaiting(exchange):
            self._send_head(service, connection)
        elif len(target.idle) < 1:
            connection.is_reused = True  # The client left meanwhile; the next one finds it at rest.
            connection.deadline_s = core.now_s + service.pool_idle_s
            target.idle.append(connection)
        else:
            connection.abort()

    def _is_awaiting(self, exchange: bytes) -> bool:
        if self._is_connecting and self._state is EXCHANGE and self._request_id == exchange:
            self._is_connecting = False
            return True
        return False

    def _retry_or_fail(self, service: Service, target: Target, detail: str) -> None:
        """Nothing of this request has been answered. Another target, when the rules of DESIGN 1.2 let us."""
        if self._retries_left > 0:
            self._retries_left -= 1
            other = service.targets.pick(self._core.now_s, avoid=target)
            if other is not None:
                self._send_to(service, other)
                return
        self._fail("bad_gateway", detail)

    def _send_head(self, service: Service, upstream: UpstreamConnection) -> None:
        self._upstream = upstream
        upstream.begin(self)
        text = self._text
        if self._pending:
            text += b"".join(self._pending)
            self._pending = []
            self._has_content_begun = True
        self._meter.cells[self._row + upstream.target.egress_offset] += len(text)
        upstream.transport.write(text)  # type: ignore[union-attr]
        upstream.deadline_s = self._core.now_s + service.response_timeout_s if self.is_content_sent else inf
        self.resume_reading()

    def _send_upstream(self, upstream: UpstreamConnection, data: bytes) -> None:
        self._meter.cells[self._row + upstream.target.egress_offset] += len(data)
        upstream.transport.write(data)  # type: ignore[union-attr]
        if self._state is TUNNEL:
            upstream.deadline_s = self._core.now_s + self.service_idle_timeout_s

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

    def _drop_upstream(self) -> None:
        self._is_connecting = False
        if self._upstream is not None:
            self._upstream.leave()
            self._upstream = None

    # --- the answer, called by the upstream connection

    @property
    def service_idle_timeout_s(self) -> float:
        return self._service.idle_timeout_s if self._service is not None else inf

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
        route = self._route
        more = route.enforced.fields() if route is not None else b""
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
        text = response_text(head, self._request_id, more, content)
        self._meter.cells[self._row + self._egress_offset] += len(text)
        self.transport.write(text)

    def relay(self, data: bytes) -> None:
        self._meter.cells[self._row + self._egress_offset] += len(data)
        self.transport.write(data)

    def relay_framed(self, content: bytes) -> None:
        """Content whose length was not declared."""
        self.relay(chunk(content) if self._is_chunking else content)

    def end_answer(self, status: int) -> None:
        """The upstream's answer is complete and handed to the socket."""
        service, upstream = self._service, self._upstream
        if upstream is not None:
            if status >= 500 and service is not None and service.ejects_on_5xx:
                upstream.target.failed(self._core.now_s)
            elif upstream.target.failures:
                upstream.target.succeeded()
        self._upstream = None
        if self._is_chunking:
            self.relay(LAST_CHUNK)
        self._end_exchange()
        self._next()

    def upstream_lost(self, upstream: UpstreamConnection) -> None:
        """It closed before a byte of the answer: sent again where that cannot do a thing twice."""
        self._upstream = None
        service = self._service
        assert service is not None
        is_safe = self.head.method in _IDEMPOTENT and not self._has_content_begun
        if is_safe and upstream.is_reused:
            # It had closed while at rest, most likely; that costs no retry, and each such try uses one up.
            self._send_to(service, upstream.target)
        elif is_safe:
            self._retry_or_fail(service, upstream.target, "the upstream closed without an answer")
        else:
            self._fail("bad_gateway", "the upstream closed without an answer")

    def upstream_failed(self, code: str, detail: str) -> None:
        self._upstream = None
        self._fail(code, detail)

    def begin_tunnel(self, head: ResponseHead, rest: bytes) -> None:
        self._is_answered = True
        self._state = TUNNEL
        more = b"Connection: Upgrade\r\nUpgrade: " + head.upgrade + b"\r\n"
        self.relay(response_text(head, self._request_id, more, rest))
        if self._upstream is not None:
            self._upstream.deadline_s = self._core.now_s + self.service_idle_timeout_s
            if self._buffer:
                data, self._buffer = self._buffer, b""
                self._meter.cells[self._row + INGRESS] += len(data)
                self._send_upstream(self._upstream, data)

    def end_tunnel(self) -> None:
        self._upstream = None
        self._end_exchange()
        self._close()

    # --- the gateway's own answers, and the end of every exchange

    def _fail(self, code: str, detail: str) -> None:
        """A failure behind the gateway: a valid call all the same (B5)."""
        self._count_call()
        self._meter.cells[self._row + BACKEND_ERRORS[code]] += 1
        if self._is_answered:
            # Part of the answer is out: cutting it short, visibly, is all that is left.
            self._end_exchange()
            self._state = LINGER
            self.transport.abort()
            return
        self._answer(code, detail, b"")

    def _refuse(self, code: str, detail: str, fields: bytes = b"", *, close: bool = False) -> None:
        """A front-end error: no call, nothing forwarded that counts (B4, X11)."""
        self._count_front_error(code)
        if close:
            self._closes_after = True
        elif self.head.content_length:
            self._closes_after = True  # Its content is still to come, and we shall not read it.
        if code == "account_suspended":
            self._row = self._core.anonymous_row  # X15: nothing billed while suspended, its bytes neither.
        self._answer(code, detail, fields)

    def _answer(self, code: str, detail: str, fields: bytes) -> None:
        if self._core.is_draining or self._content_left or not self.is_content_sent:
            self._closes_after = True
        route = self._route
        if route is not None:
            fields += route.enforced.fields()
        text = problem_response(
            PROBLEMS[code],
            detail,
            self._request_id,
            fields,
            close=self._closes_after,
            with_content=self.head.method != b"HEAD",
        )
        self.relay(text)
        self._end_exchange()
        self._next()

    def _count_call(self) -> None:
        """Counts the exchange once: a call, or a WebSocket connection (B6)."""
        if not self._is_counted:
            self._is_counted = True
            service = self._service
            if service is not None and service.is_websocket:
                self._meter.cells[self._row + WEBSOCKET_CONNECTIONS] += 1
            else:
                self._meter.cells[self._row + CALLS] += 1

    def _count_front_error(self, code: str) -> None:
        self._meter.cells[self._row + FRONTEND_ERRORS[code]] += 1

    def _end_exchange(self) -> None:
        """Where every exchange ends, whatever became of it."""
        service = self._service
        if self._is_counted and service is not None and not service.is_websocket:  # The histogram covers calls.
            duration_us = (time.monotonic_ns() - self._started_ns) // 1000
            cells, row = self._meter.cells, self._row
            cells[row + DURATION_SUM_US] += duration_us
            cells[row + DURATION_BUCKETS + bisect_left(_BOUNDS_US, duration_us)] += 1
        self._is_counted = False
        self._service = self._route = None
        self._row = self._core.anonymous_row

    def _next(self) -> None:
        """After an answer: the next request, or the end of the connection."""
        if self._closes_after:
            self._close()
            return
        self._state = HEAD
        self.deadline_s = self._core.now_s + self._core.bounds.idle_timeout_s
        if self._is_read_paused:
            self.resume_reading()
        if self._buffer:
            # Not from here: a client that pipelines many requests would be a recursion as deep.
            self._core.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._state is HEAD and self._buffer:
            self._read_requests(self._buffer)

    def _close(self) -> None:
        """Closes; reads on a little where the client may still be sending (RFC 9112 9.6)."""
        self._buffer = b""
        was_sending = self._content_left != 0 or self.head.content_length != 0
        self._state = LINGER
        self._content_left = 0
        self.deadline_s = self._core.now_s + LINGER_S
        if was_sending and self.transport.can_write_eof():
            self.resume_reading()
            self.transport.write_eof()
        else:
            self.transport.close()
