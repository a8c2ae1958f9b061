"""What upstreams are told: the request, and who asks, by which host, scheme and prefix, with which certificate."""

from __future__ import annotations

import asyncio

from gateway.http.fields import without_fields
from gateway.proxy.client_address import UNKNOWN, Address
from gateway.proxy.client_certificate import CERTIFICATE_NAMES, certificate_field
from gateway.proxy.core import Core
from gateway.proxy.downstream import Downstream
from gateway.proxy.forwarding import appended_forwarded_fields, forwarded_fields, request_text
from gateway.proxy.matching import Match
from gateway.proxy.target import Target


class Presenting(Downstream):
    """What is the same for all requests of a connection is written once."""

    __slots__ = ("_certificate_field", "_forwarded", "_tail", "_tail_host", "_tail_prefix", "tells_certificate")

    def __init__(self, core: Core, network: str, scheme: str, address: Address = UNKNOWN) -> None:
        super().__init__(core, network, scheme, address)
        self._forwarded = b""
        self._certificate_field = b""
        self.tells_certificate = False  # Whether upstreams are told of the client's certificate.
        self._tail = b""  # The fields we add upstream, for requests with this Host and stripped of this prefix.
        self._tail_host: bytes | None = None
        self._tail_prefix = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._forwarded = forwarded_fields(self._address_text, self._scheme)
        if self.tells_certificate:
            self._certificate_field = certificate_field(transport)
            self._forwarded = self._certificate_field + self._forwarded

    def _request_text(self, match: Match, target: Target) -> bytes:
        """The head as this target is sent it."""
        head = self.head
        line = match.upstream_line
        if line is None:
            line = head.method + b" " + target.base_path + match.forwarded
        host_field = None if match.preserves_host and head.host else match.host_field or target.host_field
        if head.is_marked and self._comes_from_afar():
            tail = self._appended_tail(match)
        else:
            if head.host is not self._tail_host or match.prefix_field is not self._tail_prefix:
                self._tail_host = head.host
                self._tail_prefix = match.prefix_field
                self._tail = match.prefix_field + self._forwarded + head.host + b"\r\nX-Request-Id: "
            tail = self._tail
        return request_text(head, line, host_field, tail, self._request_id)

    def _comes_from_afar(self) -> bool:
        """Whether the client says itself where the request comes from."""
        head = self.head
        if head.forwarded_for or head.via or head.forwarded_proto or head.forwarded_host or head.forwarded_prefix:
            return True
        return self.tells_certificate and head.is_from_trusted

    def _appended_tail(self, match: Match) -> bytes:
        head = self.head
        is_trusted = head.is_from_trusted
        if self.tells_certificate and is_trusted:
            # RFC 9440 2.4: of two that say who the client is, one is the gateway's and the other is anybody's.
            head.fields = without_fields(head.fields, CERTIFICATE_NAMES)
        named_host = head.forwarded_host if is_trusted and head.forwarded_host else head.host
        prefix = match.service.stripped_prefix
        return self._certificate_field + appended_forwarded_fields(
            head, self._address_text, self._scheme, named_host, prefix, is_trusted=is_trusted
        )
