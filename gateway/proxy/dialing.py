"""New connections to upstreams: name to addresses, egress address, TLS, the connect deadline (L9, L11)."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from gateway.proxy.resolver import Address
from gateway.proxy.upstream import UpstreamConnection

if TYPE_CHECKING:
    from gateway.proxy.core import Core
    from gateway.proxy.service import Service
    from gateway.proxy.target import Target

log = logging.getLogger("tollgate.upstream")

# Faults of this machine, which say nothing of the target.
_OUR_OWN: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL))
# linux/in.h. A port is chosen at connect and not at bind, so one egress address serves more than 28,000 connections.
_IP_BIND_ADDRESS_NO_PORT: Final = 24
_LOG_INTERVAL_S: Final = 10.0  # One line for a target and a reason in this time, however many dials fail.
_LOGGED_MAX: Final = 1024  # Reasons remembered.
_logged_at_s: dict[tuple[str, str], float] = {}


class DialError(Exception):
    """No connection. ``code`` is the answer's (DESIGN 1.5); nothing was sent, so another target may be tried."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


async def dial(core: Core, target: Target, service: Service) -> UpstreamConnection:
    """A new connection, ready for a request. Raises DialError, and then has told the target.

    The connect deadline holds from here until the connection stands: name, TCP on all addresses, and TLS.
    """
    if not target.has_room:
        raise DialError("no_healthy_target", f"the target has {target.connections_max} connections, its most")
    if not core.makes_upstream_room():
        raise DialError("no_healthy_target", "the gateway has no connection left for an upstream")
    target.dialing += 1
    core.dialing += 1
    try:
        async with asyncio.timeout(service.connect_timeout_s):
            connection = await _connect(core, target, service)
        if connection.transport is None or connection.transport.is_closing():
            raise ConnectionResetError("closed at once")
        return connection
    except TimeoutError:
        target.failed(core.read_clock())
        raise DialError("gateway_timeout", "connecting to the upstream took too long") from None
    except OSError as error:
        if error.errno not in _OUR_OWN:
            target.failed(core.read_clock())
        _report(target, error)
        raise DialError("bad_gateway", f"the upstream cannot be reached ({_reason(error)})") from None
    finally:
        target.dialing -= 1
        core.dialing -= 1


async def _connect(core: Core, target: Target, service: Service) -> UpstreamConnection:
    """Tries the addresses in turn, each with its part of the time that is left."""
    deadline_s = core.loop.time() + service.connect_timeout_s
    family = 0 if target.egress_ip is None else socket.AF_INET6 if ":" in target.egress_ip else socket.AF_INET
    if target.addresses:
        addresses = tuple(address for address in target.addresses if family in (0, address[0]))
    else:
        addresses = await target.resolver.addresses(target.host, family)
    for left in range(len(addresses), 0, -1):
        address = addresses[-left]
        try:
            async with asyncio.timeout((deadline_s - core.loop.time()) / left):
                connection = await _connect_to(core, target, address)
        except OSError as error:
            if error.errno not in _OUR_OWN:
                target.resolver.failed(target.host, address)
            if left == 1:
                raise
            continue
        target.resolver.answered(target.host, address)
        return connection
    raise OSError(errno.EADDRNOTAVAIL, "the upstream has no address of the egress address's family")


async def _connect_to(core: Core, target: Target, address: Address) -> UpstreamConnection:
    connection = UpstreamConnection(core, target, address)
    # A protocol by its methods, not by inheritance: it is compiled.
    protocol = cast(asyncio.Protocol, connection)
    tls, name = target.tls, target.server_name
    family, host = address
    try:
        if target.egress_ip is None:
            await core.loop.create_connection(lambda: protocol, host, target.port, ssl=tls, server_hostname=name)
        else:
            bound = await _connected_from(core, target.egress_ip, family, (host, target.port))
            await core.loop.create_connection(lambda: protocol, sock=bound, ssl=tls, server_hostname=name)
    except BaseException:
        connection.abort()
        raise
    return connection


async def _connected_from(core: Core, egress_ip: str, family: int, address: tuple[str, int]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setblocking(False)
        with suppress(OSError):
            bound.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        bound.bind((egress_ip, 0))
        await core.loop.sock_connect(bound, address)
    except BaseException:
        bound.close()
        raise
    return bound


def _reason(error: OSError) -> str:
    """For the client: what kind of failure in words, and nothing about addresses or certificates inside."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not accepted"
    if isinstance(error, ssl.SSLError):
        return "TLS failed"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if error.errno in _OUR_OWN:
        return "the gateway has no means for a connection"
    if error.errno:
        return os.strerror(error.errno).lower()
    return "the connection was closed at once" if isinstance(error, ConnectionError) else "its name has no address"


def _report(target: Target, error: OSError) -> None:
    """For the operator: which target, and why."""
    reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.strerror or str(error)
    kind = "certificate not accepted: " if isinstance(error, ssl.SSLCertVerificationError) else ""
    key, now_s = (target.place.service + " " + target.url, kind + reason), time.monotonic()
    if now_s - _logged_at_s.get(key, -_LOG_INTERVAL_S) < _LOG_INTERVAL_S:
        return
    if len(_logged_at_s) >= _LOGGED_MAX:
        _logged_at_s.clear()
    _logged_at_s[key] = now_s
    log.warning("target %s of service %s: %s%s", target.url, target.place.service, kind, reason)
