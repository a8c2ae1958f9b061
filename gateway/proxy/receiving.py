"""A request's content as it comes: counted, held to its bounds, and sent on in the framing it came in."""

from __future__ import annotations

from math import inf
from typing import Final

from gateway.http.chunked import LAST_CHUNK, chunk
from gateway.http.errors import ProtocolError
from gateway.proxy.client_address import UNKNOWN, Address
from gateway.proxy.core import Core
from gateway.proxy.kept import KeptContent
from gateway.proxy.presenting import Presenting
from gateway.proxy.state import EXCHANGE
from gateway.proxy.upstream import UpstreamConnection
from metering.cells import INGRESS

GATHERED_BYTES: Final = 16 * 1024  # of content that have to come before the exchange has a connection, where that is so
RATE_INTERVAL_S: Final = 1.0  # How often the rate of content is looked at.


class Receiving(Presenting):
    """Slots are the exchange's."""

    __slots__ = ("_kept", "_pending", "_rate_due_s", "has_content_begun")

    def __init__(self, core: Core, network: str, scheme: str, address: Address = UNKNOWN) -> None:
        super().__init__(core, network, scheme, address)
        self.has_content_begun = False  # Whether any of it has gone to the upstream.
        self._rate_due_s = inf  # when it is looked at whether content comes quickly enough
        self._kept: KeptContent | None = None  # where it may be sent again
        self._pending: list[bytes] = []

    def _send_upstream(self, upstream: UpstreamConnection, data: bytes) -> None:
        raise NotImplementedError

    def _send_gathered(self) -> None:
        raise NotImplementedError

    def _is_exchanging(self) -> bool:
        return self._state is EXCHANGE

    def _gather(self) -> None:
        """The second half of a target's connections is for requests that are there, so that no drip holds it."""
        self._is_gathering = True
        if self.head.expects_continue:  # RFC 9110 10.1.1: asked for here, and not once more.
            self.head.expects_continue = False
            self.relay(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _read_waiting_content(self) -> None:
        if self._content_left and self._buffer and self._is_exchanging():
            self._read_content(self._take_buffer())

    def _read_content(self, data: bytes) -> None:
        """Content as it comes: counted, held to the cap, sent on in the framing it came in."""
        service = self._service
        assert service is not None
        now_s = self._core.read_clock()
        if not self.is_write_paused:  # Else that of the answer, which waits to be taken, holds.
            self.deadline_s = now_s + self._core.bounds.body_timeout_s
        if now_s >= self._rate_due_s and self._comes_too_slowly(now_s):
            return
        if self._decoder is None:
            left = self._content_left - len(data)
            if left < 0:
                self._buffer = data[left:]
                data = data[:left]
                left = 0
            self._content_left = left
            self._content_bytes += len(data)
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
            if self._kept is not None:
                self._kept.add(data)
            if upstream is not None:
                self.has_content_begun = True
                self._send_upstream(upstream, data)
            elif self._is_connecting or self._is_gathering:
                self._pending.append(data)
        is_whole = self._content_left == 0
        if is_whole:
            self.is_content_sent = True
            self._count_call()
        if self._is_gathering and (is_whole or self._content_bytes >= GATHERED_BYTES):
            self._send_gathered()
            if not self._is_exchanging():
                return
            upstream = self._upstream
        if is_whole:
            if self.is_write_paused:
                return
            self.deadline_s = inf
            if upstream is not None:
                upstream.deadline_s = now_s + service.response_timeout_s
        if self._decoder is not None and self._decoder.has_more:
            self.pause_reading()
            self._ask_for_turn()
            return
        if self._is_gathering or (upstream is not None and not upstream.is_write_paused):
            self.resume_reading()

    def _comes_too_slowly(self, now_s: float) -> bool:
        """Content has `body_timeout` for nothing, and then comes at the least rate on the whole, or not at all."""
        bounds = self._core.bounds
        self._rate_due_s = now_s + RATE_INTERVAL_S
        self._look_at_pace(now_s)
        if self._content_bytes >= (now_s - self._content_began_s - bounds.body_timeout_s) * bounds.body_rate_min:
            return False
        self._drop_upstream()
        detail = f"the request's content comes at less than {bounds.body_rate_min} bytes a second"
        self._refuse("request_timeout", detail, close=True)
        return True

    def _read_content_on(self) -> None:
        """What came with the last read and was too much for a turn."""
        upstream = self._upstream
        if self._decoder is None or not self._decoder.has_more:
            return
        if not self._is_gathering and (upstream is None or upstream.is_write_paused):
            return  # On when the upstream stands, or takes more: `resume_reading` asks again.
        self._read_content(b"")
        self._close_if_cut()

    def _close_if_cut(self) -> None:
        """After a half-close the rest of the content will not come, where all that came is read."""
        if self._is_half_closed and self._content_left and not (self._decoder is not None and self._decoder.has_more):
            self._close_transport()
