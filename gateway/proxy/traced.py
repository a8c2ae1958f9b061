"""A client's connection whose exchanges are traced, by the names of OpenTelemetry's conventions for HTTP servers."""

from __future__ import annotations

import time
from typing import Any, Final

from gateway.proxy.access_log import AccessLog
from gateway.proxy.client_address import Address, address_shown
from gateway.proxy.core import Core
from gateway.proxy.observed import ObservedConnection
from gateway.proxy.trace_context import TraceContext, state_in
from gateway.proxy.tracer import Span, Tracer

# Any other is _OTHER: names of spans, and values that charts group by, are not the client's to invent.
_METHODS: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"))
_USER_AGENT: Final = b"user-agent"


class TracedConnection(ObservedConnection):
    """Each exchange has a place in a trace, which its upstream is told; those that are sampled become spans."""

    __slots__ = ("_trace", "_tracer")

    def __init__(
        self, core: Core, network: str, scheme: str, address: Address, log: AccessLog | None, tracer: Tracer
    ) -> None:
        self._tracer = tracer
        super().__init__(core, network, scheme, address, log)

    def _reset(self, bytes_in: int, *, has_head: bool = False) -> None:
        super()._reset(bytes_in)
        self._trace: TraceContext = (
            self._tracer.join(self.head, is_trusted=self.head.is_from_trusted) if has_head else self._tracer.begin()
        )

    def _report(self) -> None:
        if self._trace.is_recorded:
            self._tracer.add(self._span())
        super()._report()

    def _line(self) -> dict[str, Any]:
        line = super()._line()
        line["trace_id"] = self._trace.trace_id.decode()
        return line

    def _span(self) -> Span:
        ended_ns = time.time_ns()
        began_ns = ended_ns - (time.monotonic_ns() - self._started_ns)
        head, match, service, status = self.head, self._match, self._service, self._status
        method = head.method.decode() if head.method in _METHODS else "_OTHER"
        attributes: dict[str, Any] = {
            "http.request.method": method,
            "url.scheme": self._scheme.decode(),
            # Without the query, as in the access log.
            "url.path": head.path.decode("ascii", "replace"),
            "client.address": address_shown(self.client_address()),
            "network.peer.address": self._address_text.decode(),
            "network.protocol.version": "1.1" if head.is_http11 else "1.0",
            "tollgate.request.id": self._request_id.decode(),
        }
        if method == "_OTHER" and head.method:
            attributes["http.request.method_original"] = head.method.decode("ascii", "replace")
        if status:
            attributes["http.response.status_code"] = status
        if head.method and head.host:
            _put_server(attributes, head.host.decode("ascii", "replace"))
        agent = head.single(_USER_AGENT) if head.method else None
        if agent is not None:
            attributes["user_agent.original"] = agent.decode("latin-1")
        if service is not None:
            attributes["tollgate.instance.id"] = service.instance.id
            attributes["tollgate.service.id"] = service.id
        name = "HTTP" if method == "_OTHER" else method
        if match is not None:
            route = match.service.prefix + match.route.path.decode("ascii", "replace")
            attributes["http.route"] = route
            attributes["tollgate.route.id"] = match.route.id
            name = f"{name} {route}"
        if self._target is not None:
            attributes["tollgate.upstream.url"] = self._target.url
        if self._answered_ns:
            attributes["tollgate.upstream.wait_ms"] = (self._answered_ns - self._sent_ns) / 1e6
        if self._outcome != "ok":
            attributes["tollgate.outcome"] = self._outcome
        if self._certificate is not None:
            attributes["tls.client.subject"] = self._certificate.subject
            attributes["tls.client.hash.sha256"] = self._certificate.sha256.upper()
        if self._detail:
            attributes["tollgate.detail"] = self._detail
        if self._would_be_refused_by:
            attributes["tollgate.would_refuse"] = self._would_be_refused_by
        error = self._error()
        if error:
            attributes["error.type"] = error
        state = state_in(head) if self._trace.parent_id else ""
        return Span(self._trace, state, name, began_ns, ended_ns, attributes, error)

    def _error(self) -> str:
        """What went wrong on the server's side, the upstream's included: a 4xx is the client's."""
        if self._outcome != "ok" and not 400 <= self._status < 500:
            return self._outcome
        return str(self._status) if self._status >= 500 else ""


def _put_server(attributes: dict[str, Any], host: str) -> None:
    """The name that the client knows the server by, and the port, where it gives one."""
    name, colon, port = host.rpartition(":")
    if not colon or port.endswith("]"):
        name, port = host, ""
    attributes["server.address"] = name.strip("[]")
    if port.isdecimal():
        attributes["server.port"] = int(port)
