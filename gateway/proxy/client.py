"""The connection of a client: reads requests in order, decides on each, and has it forwarded."""

from __future__ import annotations

import time
from collections.abc import Set as AbstractSet
from math import inf
from typing import Final

from gateway.http.errors import ProtocolError
from gateway.http.grammar import EMPTY_LINES
from gateway.http.request import RequestHead
from gateway.http.response import ResponseHead
from gateway.http.via import HOPS_MAX
from gateway.proxy.admitting import Admitting
from gateway.proxy.cors import CorsRule, preflight_method
from gateway.proxy.downstream import REFUSALS_PATIENCE
from gateway.proxy.matching import Match, Refusal, Unmatched
from gateway.proxy.paced import PIPELINED_BYTES_MAX
from gateway.proxy.refusals import ADDRESS, CONTENT_OF_HANDSHAKE, GONE, NO_KEY, NO_UPGRADE, ORIGIN, SUSPENDED
from gateway.proxy.service import Service
from gateway.proxy.state import EXCHANGE, HEAD, LINGER, TUNNEL
from gateway.proxy.turns import REQUESTS_TOGETHER_MAX
from metering.cells import INGRESS

# RFC 9112 2.2: at least one empty line before a request is ignored. Megabytes of them would be work for nothing.
EMPTY_BYTES_MAX: Final = 64
_WEBSOCKET: Final = b"websocket"


def _asks_for_websocket(head: RequestHead) -> bool:
    return bool(head.upgrade) and head.upgrade.lower() == _WEBSOCKET


class ClientConnection(Admitting):
    """One client, as its node wants it that has neither access log nor traces."""

    __slots__ = ()

    # --- bytes from the client

    def eof_received(self) -> bool:
        """A half-close: the client may still be reading, so every request that came whole is answered first."""
        self._core.outbox.flush()  # Where this returns False the loop closes, and drops what is written later.
        if self._waiting is not None:
            return False  # Whoever left looks the same, and would use up the capacity that it waits for.
        if (self._state is EXCHANGE and self._content_left == 0) or (self._state is HEAD and self._buffer):
            self._is_half_closed = True
            if self._state is HEAD and not self._is_queued:
                self._read_on()
            return self._scheme != b"https"  # The loop closes TLS both ways, and warns when asked not to.
        return False

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state is HEAD:
            if self._is_queued or self._refusals >= REFUSALS_PATIENCE:
                self._hold(data)
            else:
                self._read_requests(self._buffer[self._buffer_at :] + data if self._buffer else data, 0)
        elif state is EXCHANGE:
            if self._content_left:
                self._read_content(data)
            else:
                self._keep(data)
                self.wire.expect_bulk()
                if len(self._buffer) > PIPELINED_BYTES_MAX:
                    self.pause_reading()
        elif state is TUNNEL and self._upstream is not None:
            self._meter.cells[self._row + INGRESS] += len(data)
            self._send_upstream(self._upstream, data)
        elif state is LINGER:
            # Read to be dropped, so that our answer is not reset away: one read in a turn, behind the others.
            self._stop_reading()
            self._ask_for_turn()

    # --- reading requests

    def refuse_unread(self, received: bytes, detail: str) -> None:
        """Refuses a connection for what it began with, which is still to be read, and is dropped then."""
        self._started_ns = time.monotonic_ns()
        self._begin_refusal(received, 0)
        self._refuse("bad_request", detail, close=True)

    def _hold(self, data: bytes) -> None:
        """What came waits for this connection's turn."""
        self._keep_for_a_turn(self._buffer[self._buffer_at :] + data if self._buffer else data, 0)

    def _keep_for_a_turn(self, data: bytes, at: int) -> None:
        # Not a copy for each turn: many small requests, a few of them in each, would copy a megabyte for each kilobyte.
        self._buffer, self._buffer_at = data, at
        if len(data) - at > PIPELINED_BYTES_MAX:
            self._stop_reading()
        if not self.is_write_paused:  # Else on when the client has read its answers.
            self._ask_for_turn()

    def _read_on(self) -> None:
        if self._state is HEAD and (self._buffer or self._is_half_closed) and not self.is_write_paused:
            self._read_requests(self._buffer, self._buffer_at)
            if self._is_read_paused and self._state is HEAD and not self._is_queued and not self.is_write_paused:
                self._read_more()  # What is there is a part of a head.

    def _read_requests(self, data: bytes, at: int) -> None:
        """Reads heads from ``at`` on while there are whole ones and no exchange is under way, up to a turn's bound."""
        self._is_reading = True
        self._read_heads(data, at)
        self._is_reading = False

    def _read_heads(self, data: bytes, at: int) -> None:
        core = self._core
        bounds = core.bounds
        head = self.head
        self._buffer_at = 0
        left = REQUESTS_TOGETHER_MAX
        while self._state is HEAD:
            if data[at : at + 1] == b"\r":
                begun = at
                at = EMPTY_LINES.match(data, at, at + EMPTY_BYTES_MAX + 2).end()  # type: ignore[union-attr]
                if at > begun + EMPTY_BYTES_MAX:
                    self._refuse_head("bad_request", "empty lines in place of a request", data, begun)
                    return
            if at == len(data):
                self._buffer = b""
                if self._is_half_closed:
                    self._close_transport()
                return
            if left == 0 or self.is_write_paused:
                self._keep_for_a_turn(data, at)
                return
            left -= 1
            self._started_ns = time.monotonic_ns()
            core.now_s = self._started_ns / 1e9
            has_begun = head.searched > 0
            try:
                head_bytes = head.parse(data, bounds.head_bytes_max, bounds.target_bytes_max, bounds.fields_max, at)
                if head_bytes == 0:
                    self._buffer = rest = data[at:] if at else data
                    if rest == b"\r":
                        # No head begun yet: one at a time, each with its LF late, would go on for ever.
                        head.searched = 0
                    elif not has_begun:
                        self.deadline_s = core.now_s + bounds.head_timeout_s
                    if self._is_half_closed:
                        self._close_transport()
                    return
            except ProtocolError as error:
                self._refuse_head(error.code, error.detail, data, at)
                return
            at += head_bytes
            if at == len(data):
                self._buffer = b""
                self._begin_exchange(head_bytes)
                continue
            self._buffer, self._buffer_at = data, at
            self._begin_exchange(head_bytes)
            self.wire.expect_bulk()  # More requests, that do not wait for answers: those may be joined.
            if self._content_left and self._is_exchanging():
                at = len(data)
                self._read_content(self._take_buffer())
            elif not self._is_exchanging():
                self._buffer_at = 0  # It was answered: what is kept from here on is kept from its beginning.
        if self._content_left and self._is_exchanging():
            self._close_if_cut()

    def _refuse_head(self, code: str, detail: str, received: bytes, at: int) -> None:
        """What came in place of a head is none."""
        self._begin_refusal(received, at)
        self._refuse(code, detail, close=True)

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
        # Before the counters: of a service in thousands both come from afar, and so they are waited for together.
        target = match.usable_target()
        self._row = row = match.row
        if row != self.wire.row:
            self.wire.turn_to(row, self._started_ns)
        self._meter.cells[row + INGRESS] += head_bytes
        if head.is_marked and head.hops >= HOPS_MAX:
            self._refuse("loop_detected", f"the request has passed {HOPS_MAX} gateways of this kind already")
            return
        if match.has_checks:
            if not self._passes_checks(match.service):
                return
            if head.upgrade and not match.is_websocket:
                self._match = match = match.in_place(is_websocket=False, is_undecided=True)
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
        self._forward(match, target, length)

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
        """Refuses where anything stands against it; else the head is what may go on."""
        head, cors, keys = self.head, service.cors, service.keys
        if head.upgrade and not service.is_websocket and not (service.takes_upgrades and _asks_for_websocket(head)):
            head.upgrade = b""
        refusal = self._refusal(service)
        if refusal is not None:
            self._refuse(refusal.code, refusal.detail, refusal.fields, close=refusal.closes)
            return False
        if cors is not None:
            if preflight_method(head) is not None:
                self._take_preflight(cors)
                return False
            self._cors_fields = cors.fields(head)
        if keys is not None and (keys.takes_out or head.has_odd_names):
            keys.prepare(head)
        return True

    def _refusal(self, service: Service) -> Refusal | None:
        """What stands against the request's having the service: protocol, account state, address, origin or key.

        Asked when it begins, and again where a snapshot has changed the service meanwhile.
        """
        head = self.head
        is_handshake = service.takes_upgrades and _asks_for_websocket(head)
        if service.is_websocket and not is_handshake:
            return NO_UPGRADE
        if is_handshake and head.content_length:
            return CONTENT_OF_HANDSHAKE
        if not service.instance.is_serving:
            return SUSPENDED
        if service.addresses is not None and not service.addresses.admits(self.client_address()):
            return ADDRESS
        cors = service.cors
        if cors is not None:
            if preflight_method(head) is not None:
                return None  # Browsers send no key with it.
            if is_handshake and not cors.lets_connect(head):
                return ORIGIN
        if service.keys is not None:
            self._key = service.keys.key_in(head)
            if self._key is None:
                return NO_KEY
        return None

    def begin_tunnel(self, head: ResponseHead, rest: bytes) -> None:
        match = self._match
        if match is not None and match.is_undecided:
            self._decide(match, is_websocket=True)
            self._count_call()
        super().begin_tunnel(head, rest)

    # --- where a snapshot has changed the service meanwhile

    def is_in_doubt(self, serving: AbstractSet[str]) -> bool:
        """Whether what is under way began by what holds no longer. ``serving``: instances that may."""
        match = self._match
        if match is None:
            return False
        return match.service.is_replaced or match.service.instance.id not in serving

    def look_again(self, serving: AbstractSet[str]) -> bool:
        """Ends at once what may not stay: a tunnel, its handshake, who waits for capacity.

        True: it is another exchange that would not begin now, and is to be ended by and by. Of an instance that may
        not serve nothing is billed from here on (X15).
        """
        match = self._match
        assert match is not None
        if match.service.instance.id not in serving:
            self._bill_nobody()
        refusal = self._refusal_now(match.service)
        if refusal is None or not (match.is_websocket or match.is_undecided or self._waiting is not None):
            return refusal is not None
        self._revoke(refusal)
        return False

    def end_by(self, began_ns: int) -> None:
        """The time is over that an exchange was given; it may be over by itself, or allowed again."""
        match = self._match
        if match is not None and self._started_ns == began_ns:
            refusal = self._refusal_now(match.service)
            if refusal is not None:
                self._revoke(refusal)

    @property
    def began_ns(self) -> int:
        return self._started_ns

    def _refusal_now(self, before: Service) -> Refusal | None:
        """What stands against the request by the routes of now."""
        found = self._core.matcher.find(self.head)
        if isinstance(found, Unmatched):
            return found
        service = found.service
        if not service.is_successor_of(before) or (self._state is TUNNEL and not service.takes_upgrades):
            return GONE
        refusal = self._refusal(service)
        if refusal is None and (self._state is TUNNEL or self._is_answered):
            # No other target is chosen any more, and what holds for the service holds for it.
            if self._state is TUNNEL and not found.is_websocket:
                found = found.in_place(is_websocket=True)
            self._match = found
        return refusal

    def _revoke(self, refusal: Refusal) -> None:
        """Ends what is under way; answered where an answer can be given still."""
        if self._waiting is not None:
            self._waiting.is_gone = True
            self._waiting = None
            self._refuse(refusal.code, refusal.detail, refusal.fields, close=True)
            return
        self._drop_upstream()
        if self._state is TUNNEL:
            self._end_exchange()
            self._close()
        elif self._is_answered:
            self._cut_short()
        elif self.is_counted:
            self._closes_after = True
            self._answer(refusal.code, refusal.detail, refusal.fields)
        else:
            self._refuse(refusal.code, refusal.detail, refusal.fields, close=True)

    def _bill_nobody(self) -> None:
        row = self._core.anonymous_row
        if self._row != row:
            now_ns = time.monotonic_ns()
            self._row = row
            self.wire.turn_to(row, now_ns)
            if self._upstream is not None:
                self._upstream.wire.turn_to(row, now_ns)

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
        self._pass_shadow(match.route, self._started_ns)
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
