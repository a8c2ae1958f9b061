"""One address of a service's upstream: where it is, whether it is out, and what it has under way (L9)."""

from __future__ import annotations

import ssl
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from gateway.proxy.pool import Pool
from gateway.proxy.resolver import Addresses, Resolver, literal_address

if TYPE_CHECKING:
    from mypy_extensions import i32  # a machine's integer where this is compiled, an `int` where it runs as it stands

    from gateway.proxy.balance import TargetGroup

FAILURES_TO_EJECT: Final = 5  # In a row (DESIGN 1.7).


class Place(NamedTuple):
    """What a target is told by: a snapshot in which none of this changed keeps its health."""

    service: str
    url: str
    network: str
    egress_ip: str | None
    tls: str  # the service's TLS settings as text; "" without

    @property
    def is_tls(self) -> bool:
        return self.url.startswith("https:")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if self.is_tls else 80)


@lru_cache(1024)
def _encoded(host_field: str) -> bytes:
    """One object for all targets of an address: each that a request touches is another cache line."""
    return host_field.encode()


class Target:
    """One address. Failures in a row eject it for a while, then one trial decides (DESIGN 1.7).

    Its group decides whether it may go: passive ejection never takes the last one.
    """

    __slots__ = (
        "addresses",
        "base_path",
        "coming",
        "connections_max",
        "dialing",
        "egress_ip",
        "ejected_until_s",
        "failures",
        "group",
        "host",
        "host_field",
        "is_ejected",
        "is_probed_down",
        "looked_s",
        "outstanding",
        "place",
        "pool",
        "port",
        "resolver",
        "server_name",
        "tls",
        "trial_began_s",
        "url",
    )
    # What each request touches, first, as in `Match`: one line of the cache, with what every object has.
    pool: Pool
    connections_max: i32
    outstanding: i32
    dialing: i32
    failures: i32
    coming: i32
    is_ejected: bool
    is_probed_down: bool

    def __init__(
        self,
        place: Place,
        pool: Pool,
        resolver: Resolver,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> None:
        parts = urlsplit(place.url)
        self.place = place
        self.pool = pool
        self.url = place.url
        self.host, self.port = place.address
        self.host_field = _encoded(parts.netloc.rpartition("@")[2])
        self.base_path = parts.path.rstrip("/").encode()
        self.egress_ip = place.egress_ip
        self.tls = tls
        self.server_name = (server_name or self.host) if tls is not None else None
        self.resolver = resolver
        self.addresses: Addresses = literal_address(self.host)  # empty for a name, which the resolver knows
        self.connections_max = 1  # ``outstanding`` and ``dialing`` together
        self.outstanding = 0  # exchanges under way
        self.dialing = 0  # connections being made
        self.coming = 0  # those that are to be made from the next turn of the loop on
        self.looked_s = -inf  # when somebody looked for who is in others' way here
        # its health
        self.group: TargetGroup | None = None
        self.failures = 0
        self.is_probed_down = False
        self.is_ejected = False
        self.ejected_until_s = 0.0
        self.trial_began_s = inf  # inf: no trial is under way

    @property
    def has_room(self) -> bool:
        """Whether one more exchange may use a connection; others of the pool's services do not count."""
        return self.outstanding + self.dialing < self.connections_max

    @property
    def is_half_full(self) -> bool:
        """Whether one more exchange would be of the second half of those it may have."""
        return 2 * (self.outstanding + self.dialing + self.coming) >= self.connections_max > 1

    def failed(self, now_s: float) -> None:
        """One failure: refused, reset, timed out or malformed."""
        if self.is_ejected:
            # Exchanges from before the ejection fail late: they are old news, and must not prolong it.
            if self.trial_began_s != inf and self.group is not None:
                self.trial_began_s = inf
                self.ejected_until_s = now_s + self.group.eject_s
            return
        self.failures += 1
        if self.failures >= FAILURES_TO_EJECT and self.group is not None:
            self.group.eject(self, now_s)

    def succeeded(self, began_s: float) -> None:
        """An exchange that began at ``began_s`` went well. While ejected, only one as young as the trial says so."""
        if self.is_ejected:
            if began_s >= self.trial_began_s and self.group is not None:
                self.group.take_back(self)
            return
        self.failures = 0

    def begin_trial(self, now_s: float) -> None:
        """Lets one exchange through. Should its outcome never be heard of, the next one may go after as long again."""
        assert self.group is not None
        self.trial_began_s = now_s
        self.ejected_until_s = now_s + self.group.eject_s
