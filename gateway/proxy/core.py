"""What all connections of one worker share. Replaced parts are swapped, never edited."""

from __future__ import annotations

import asyncio
import heapq
import ipaddress
import logging
import secrets
import time
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from email.utils import formatdate
from math import inf
from typing import TYPE_CHECKING, Final

from gateway.http.request_line import forget_found
from gateway.proxy.capacity import Address, Capacity
from gateway.proxy.matching import Matcher
from gateway.proxy.outbox import Outbox
from gateway.proxy.turns import Turns
from gateway.routing.router import Router
from metering.cells import CONNECTIONS
from metering.meter import Meter, Turning, row_of

if TYPE_CHECKING:
    from gateway.proxy.access_log import AccessLog
    from gateway.proxy.downstream import Downstream
    from gateway.proxy.service import Service
    from gateway.proxy.tracer import Tracer
    from gateway.proxy.upstream import UpstreamConnection

_LAST_DIGITS: Final = [b"%02x" % number for number in range(256)]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# How late a deadline may be; none is early. A timer for each request would cost more than its head.
SWEEP_INTERVAL_S: Final = 0.25
# Where somebody has set a deadline under SHORT_S, a quarter of a second is much of it. 10,000 connections are looked at
# in 0.15 ms, so that is 1 % of a worker, and only of one that has such a deadline.
SHORT_S: Final = 1.0
SHORT_SWEEP_INTERVAL_S: Final = 0.02
WIRE_INTERVAL_S: Final = 1.0  # How far wire bytes may be behind, and so what of them a killed worker takes along.
# Deadlines passed in one turn of the loop. Each may cost an answer and a close, some 30 us: a thousand that came
# together and fall due together must not be 30 ms in which nobody else is served.
PASSED_TOGETHER_MAX: Final = 32
# Connections at rest that make room for new ones together: to find them all are looked at, 0.15 ms for 10,000.
LET_GO_TOGETHER: Final = 16
LOOK_S: Final = 0.05
_FULL_LOG_INTERVAL_S: Final = 60.0
log = logging.getLogger("tollgate.worker")


@dataclass(frozen=True, slots=True)
class ClientBounds:
    """The `client:` section of the configuration: seconds and bytes."""

    head_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    body_rate_min: int = 100  # bytes a second, on the whole
    connections_max: int | None = None  # of a worker, and of one address; None: by its descriptors (`capacity.py`)
    address_connections_max: int | None = None
    idle_timeout_s: float = 75.0
    head_bytes_max: int = 32 * 1024
    fields_max: int = 128
    target_bytes_max: int = 8 * 1024
    keeps_lookalikes: bool = False  # of names that the gateway reads, writes or drops

    @property
    def least_timeout_s(self) -> float:
        return min(self.head_timeout_s, self.body_timeout_s, self.idle_timeout_s)


class Core:
    """The worker's state as its connections see it."""

    __slots__ = (
        "_request_number",
        "_request_prefix",
        "_request_random",
        "access_log",
        "_wire_due_s",
        "anonymous_row",
        "_full_told_s",
        "_looked_s",
        "_least_timeout_s",
        "bounds",
        "capacity",
        "clients",
        "date_field",
        "dialing",
        "is_draining",
        "loop",
        "matcher",
        "meter",
        "now_s",
        "outbox",
        "tasks",
        "tracer",
        "trusted_proxies",
        "turns",
        "upstreams",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        meter: Meter,
        bounds: ClientBounds,
        trusted_proxies: tuple[Network, ...],
    ) -> None:
        self.loop = loop
        self.outbox = Outbox(loop)
        self.turns = Turns(loop)
        self.meter = meter
        self.bounds = bounds
        self.capacity = Capacity(bounds.connections_max, bounds.address_connections_max)
        self._full_told_s = -inf
        self._looked_s = -inf
        self.trusted_proxies = trusted_proxies
        # Refusals before a service is known are metered here, and billed to nobody (DESIGN 1.7).
        self.anonymous_row = meter.row("-", "-", "-", "-")
        self.matcher = Matcher(Router())
        self.access_log: AccessLog | None = None
        self.tracer: Tracer | None = None
        self.clients: set[Downstream] = set()
        self.upstreams: set[UpstreamConnection] = set()
        self.tasks: set[asyncio.Task[None]] = set()  # connects under way
        self.dialing = 0  # connections to upstreams that are being made
        self.is_draining = False
        # As of the last reading of the clock: of each exchange's beginning, answer and end, which are timed anyway, and
        # of each sweep. Who sets a deadline in any other callback reads it anew, so that none is early.
        self.now_s = time.monotonic()
        self._least_timeout_s = bounds.least_timeout_s
        self._wire_due_s = 0.0
        self.date_field = _date_field()  # as of the last sweep: RFC 9110 6.6.1 counts in seconds
        self._request_random = secrets.token_hex(8).encode()
        self._request_prefix = self._request_random + b"000000"  # what 256 ids have in common
        self._request_number = 0

    def next_request_id(self) -> bytes:
        """Unique over workers and restarts: a random prefix and a number."""
        number = self._request_number = self._request_number + 1
        last = number & 0xFF
        if last == 0:
            self._request_prefix = b"%b%06x" % (self._request_random, number >> 8)
        return self._request_prefix + _LAST_DIGITS[last]

    def read_clock(self) -> float:
        """The time, for whoever sets a deadline; it is ``now_s`` too from here on."""
        self.now_s = now_s = time.monotonic()
        return now_s

    @property
    def sweep_interval_s(self) -> float:
        return SHORT_SWEEP_INTERVAL_S if self._least_timeout_s < SHORT_S else SWEEP_INTERVAL_S

    def has_room(self, coming: int, each: int) -> bool:
        """Whether one more client may come, beside ``coming`` that are about to; ``each`` has so many descriptors."""
        return self.capacity.takes_client(len(self.clients), each, coming)

    def make_room(self, address: Address | None = None) -> bool:
        """Lets go of connections at rest, those first that never asked anything, then those that rested the longest.

        Who asks nothing must not keep out who would. ``address``: of this client address alone. False: none is at rest.
        """
        resting = [one for one in self.clients if one.may_give_way and (address is None or one.address == address)]
        for client in heapq.nsmallest(LET_GO_TOGETHER, resting, key=lambda one: (one.has_asked, one.deadline_s)):
            client.give_way()
            self.count_refused("made_room")
        return bool(resting)

    def has_too_many(self, address: Address, each: int) -> bool:
        """Whether this client address has as many connections as one may, and none of them is at rest."""
        if not self.capacity.is_at_most(address, each):
            return False
        # A look at all clients is not for each connection of a flood; those that one look lets go make room for more.
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            if self.make_room(address):
                return False
        self.count_refused("address_limit")
        return True

    def tell_that_full(self) -> None:
        if self.now_s - self._full_told_s > _FULL_LOG_INTERVAL_S:
            self._full_told_s = self.now_s
            log.warning("%d connections, the most for this worker's descriptors", len(self.clients))

    def count_refused(self, reason: str) -> None:
        """A connection that was not taken, or closed, for others' sake."""
        self.meter.cells[self.anonymous_row + CONNECTIONS[reason]] += 1

    def enter_upstream(self, connection: UpstreamConnection) -> None:
        self.upstreams.add(connection)
        self.capacity.upstreams += connection.pool.descriptors

    def leave_upstream(self, connection: UpstreamConnection) -> None:
        self.upstreams.discard(connection)
        self.capacity.upstreams -= connection.pool.descriptors

    def makes_upstream_room(self) -> bool:
        """Whether one more connection may be made to an upstream; one at rest is closed for it where it has to be."""
        if self.capacity.takes_upstream(self.dialing):
            return True
        for upstream in self.upstreams:
            if upstream.client is None:
                upstream.abort()
                return True
        return False

    def trusts(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return any(address in network for network in self.trusted_proxies)

    async def sweep(self) -> None:
        """What is due now and then, deadlines before all. Called each SWEEP_INTERVAL_S."""
        self.date_field = _date_field()
        self.outbox.look_again()
        await self.pass_deadlines()
        if self.now_s >= self._wire_due_s:
            self._wire_due_s = self.now_s + WIRE_INTERVAL_S
            self.count_wire()

    async def pass_deadlines(self) -> None:
        """Passes every deadline that is due. Called each `sweep_interval_s`.

        The look at all of them takes 0.15 ms for 10,000 connections and 0.7 ms for 50,000 (compiled; twice that from
        the sources), four times a second: no deadline is worth a place in an order that each request would change.
        """
        now_s = self.read_clock()
        clients = [client for client in self.clients if client.deadline_s < now_s]
        upstreams = [upstream for upstream in self.upstreams if upstream.deadline_s < now_s]
        if clients or upstreams:
            await asyncio.sleep(0)  # What came in time is read first, though this worker may have been late to.
        for number, client in enumerate(clients, 1):
            # Still due, and still there? Others were served meanwhile.
            if client.deadline_s < now_s and client in self.clients:
                client.deadline_passed()
            if number % PASSED_TOGETHER_MAX == 0:
                await asyncio.sleep(0)
        for number, upstream in enumerate(upstreams, 1):
            if upstream.deadline_s < now_s and upstream in self.upstreams:
                upstream.deadline_passed()
            if number % PASSED_TOGETHER_MAX == 0:
                await asyncio.sleep(0)

    def count_wire(self) -> None:
        """Reads every connection on which something moved. 1 us each; also due before the hour turns."""
        for client in self.clients:
            client.wire.count(client.is_at_rest)
        for upstream in self.upstreams:
            upstream.wire.count(upstream.client is None)

    def close_hour(self, rows_of_services: AbstractSet[int]) -> Turning:
        """Brings the hour's counts up to date; says how many counted exchanges go on, and which rows are in use.

        Those are the rows of services that requests may come for, and what connections have at hand: an exchange's own,
        of a service that is gone perhaps, and those that wire bytes are read for.
        """
        self.count_wire()
        rows = {self.anonymous_row, *rows_of_services}
        for client in self.clients:
            rows.add(client.row)
            rows.add(row_of(client.wire.row))
        rows.update([upstream.wire.row for upstream in self.upstreams])
        return Turning(sum(client.is_counted for client in self.clients), rows)

    def route_by(self, router: Router[Service], least_timeout_s: float = inf) -> None:
        """From here on; what the one before found is let go of, with its services.

        ``least_timeout_s``: of all that the services have set.
        """
        self.matcher = Matcher(router)
        self._least_timeout_s = min(self.bounds.least_timeout_s, least_timeout_s)
        forget_found()

    def keep(self, task: asyncio.Task[None]) -> None:
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


def _date_field() -> bytes:
    """A whole line, by the real clock: clients compare it with theirs (RFC 9110 5.6.7, 6.6.1)."""
    return b"Date: " + formatdate(usegmt=True).encode() + b"\r\n"
