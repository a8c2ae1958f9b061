"""A client's connection that keeps what is told of an exchange, and writes it to the access log where there is one.

Nodes that want neither log nor traces use `ClientConnection`, and pay nothing.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from gateway.http.problem import PROBLEMS
from gateway.http.request_line import begun_line
from gateway.http.response import ResponseHead
from gateway.limits.limit import Bound
from gateway.proxy.access_log import AccessLog
from gateway.proxy.client import ClientConnection
from gateway.proxy.client_address import Address, address_shown
from gateway.proxy.client_certificate import ClientCertificate, certificate_of
from gateway.proxy.core import Core
from gateway.proxy.matching import Match, Refusal
from gateway.proxy.state import EXCHANGE, HEAD, TUNNEL
from gateway.proxy.target import Target
from gateway.proxy.upstream import UpstreamConnection


class ObservedConnection(ClientConnection):
    """What there is to say of an exchange is kept beside it, and reported where it ends."""

    __slots__ = (
        "_answered_ns",
        "_certificate",
        "_bytes_in",
        "_bytes_out",
        "_bytes_upstream",
        "_detail",
        "_log",
        "_outcome",
        "_read_line",
        "_sent_ns",
        "_status",
        "_target",
        "_upstream_status",
        "_would_be_refused_by",
    )

    def __init__(self, core: Core, network: str, scheme: str, address: Address, log: AccessLog | None) -> None:
        super().__init__(core, network, scheme, address)
        self._log = log
        self._certificate: ClientCertificate | None = None
        self._reset(0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._scheme == b"https":
            self._certificate = certificate_of(transport)
        super().connection_made(transport)

    def _reset(self, bytes_in: int, *, has_head: bool = False) -> None:
        """An exchange begins. ``has_head``: with a head that was understood."""
        self._bytes_in = bytes_in  # beside content, which is counted where it is metered
        self._content_bytes = 0
        self._bytes_out = self._bytes_upstream = 0
        self._status = self._upstream_status = 0
        self._sent_ns = self._answered_ns = 0
        self._outcome = "ok"
        self._detail = ""
        self._would_be_refused_by = ""  # a level: in shadow mode
        self._read_line = (b"", b"")  # method and path of a head that was not understood, as far as they came
        self._target: Target | None = None
        self._match = None

    # --- where an exchange begins

    def _begin_exchange(self, head_bytes: int) -> None:
        self._reset(head_bytes, has_head=True)
        super()._begin_exchange(head_bytes)

    def _begin_refusal(self, received: bytes, at: int) -> None:
        self._reset(len(received) - at)
        self._read_line = begun_line(received, at)
        super()._begin_refusal(received, at)

    # --- what happens in it

    def data_received(self, data: bytes) -> None:
        if self._state is TUNNEL and self._upstream is not None:
            self._bytes_in += len(data)
        super().data_received(data)

    def _would_refuse(self, bound: Bound) -> None:
        self._would_be_refused_by = bound.level
        super()._would_refuse(bound)

    def _send_to(self, match: Match, target: Target, *, is_fresh: bool = False) -> None:
        self._target = target  # Told of also where no connection to it can be made.
        self._sent_ns = 0
        super()._send_to(match, target, is_fresh=is_fresh)

    def _send_upstream(self, upstream: UpstreamConnection, data: bytes) -> None:
        if self._target is not upstream.target or not self._sent_ns:
            self._target = upstream.target
            self._sent_ns = time.monotonic_ns()
        self._bytes_upstream += len(data)
        super()._send_upstream(upstream, data)

    def begin_answer(self, head: ResponseHead, content: bytes) -> None:
        self._status = self._upstream_status = head.status
        self._answered_ns = time.monotonic_ns()
        super().begin_answer(head, content)

    def begin_tunnel(self, head: ResponseHead, rest: bytes) -> None:
        self._status = self._upstream_status = 101
        self._answered_ns = time.monotonic_ns()
        if self._upstream is not None:
            self._bytes_in += len(self._buffer)
        super().begin_tunnel(head, rest)

    def relay(self, data: bytes) -> None:
        self._bytes_out += len(data)
        super().relay(data)

    def _refuse(self, code: str, detail: str, fields: bytes = b"", *, close: bool = False) -> None:
        self._outcome, self._detail = code, detail
        super()._refuse(code, detail, fields, close=close)

    def _fail(self, code: str, detail: str) -> None:
        self._outcome, self._detail = code, detail
        super()._fail(code, detail)

    def _answer(self, code: str, detail: str, fields: bytes) -> None:
        self._status = PROBLEMS[code].status
        super()._answer(code, detail, fields)

    def _revoke(self, refusal: Refusal) -> None:
        self._outcome, self._detail = refusal.code, refusal.detail
        super()._revoke(refusal)

    def _answer_preflight(self, fields: bytes) -> None:
        self._status = 204
        super()._answer_preflight(fields)

    # --- where it ends

    def connection_lost(self, exc: Exception | None) -> None:
        if self._state is EXCHANGE:
            self._outcome = "client_gone"
            self._detail = _end_of(exc, "the connection ended before the exchange")
        elif self._state is HEAD and self._buffer:
            # A part of a head is a request too (DESIGN 1.7), and no exchange follows.
            self._reset(len(self._buffer) - self._buffer_at)
            self._read_line = begun_line(self._buffer, self._buffer_at)
            self._started_ns = self._started_ns or time.monotonic_ns()
            self._request_id = self._core.next_request_id()
            self.head.forget_line()
            self._outcome = "bad_request"
            self._detail = _end_of(exc, "the connection ended within the head")
            self._report()
        super().connection_lost(exc)

    def _end_exchange(self) -> None:
        self._report()
        super()._end_exchange()

    def _report(self) -> None:
        if self._log is not None:
            self._log.add(1.0 if self._service is None else self._service.instance.log_share, self._line())

    def _line(self) -> dict[str, Any]:
        service, match, head, target = self._service, self._match, self.head, self._target
        now_ns = time.monotonic_ns()
        method, path = (head.method, head.path) if head.method else self._read_line
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "request_id": self._request_id.decode(),
            "instance": "-" if service is None else service.instance.id,
            "service": "-" if service is None else service.id,
            "route": "-" if match is None else match.route.id,
            "client": address_shown(self.client_address()),
            # Without the query, which may hold what is nobody's business.
            "method": method.decode("ascii", "replace") or "-",
            "path": path.decode("ascii", "replace") or "-",
            "status": self._status or None,
            "outcome": self._outcome,
            "upstream": "-" if target is None else target.url,
            "upstream_status": self._upstream_status or "-",
            "bytes_in": self._bytes_in + self._content_bytes,
            "bytes_out": self._bytes_out,
            "bytes_upstream": self._bytes_upstream,
            "duration_ms": _ms(self._started_ns, now_ns),
            "upstream_ms": _ms(self._sent_ns, self._answered_ns) if self._answered_ns else None,
        }
        if self._certificate is not None:
            line["client_subject"] = self._certificate.subject
            line["client_sha256"] = self._certificate.sha256
        if self._detail:
            line["detail"] = self._detail
        if self._would_be_refused_by:
            line["would_refuse"] = self._would_be_refused_by
        return line


def _end_of(exc: Exception | None, words: str) -> str:
    """With what the system says of it, where it says anything."""
    reason = exc.strerror if isinstance(exc, OSError) else None
    return f"{words} ({reason})" if reason else words


def _ms(begin_ns: int, end_ns: int) -> float:
    return round((end_ns - begin_ns) / 1e6, 3)
