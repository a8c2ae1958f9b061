"""A node is not its own upstream: a request would go round until its deadline, each time as another call."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Iterable, Iterator

from config.errors import Fault
from config.schema import InstanceSettings, ServiceSettings, Settings
from config.urls import Url, parse_url
from config.values import Bind

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# RFC 6761 6.3, and what /etc/hosts of the usual systems has beside it.
_LOOPBACK_NAMES = frozenset(("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"))
_LOOPBACK: tuple[Address, ...] = (ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))


class OwnAddresses:
    """Where a node listens itself."""

    def __init__(self, settings: Settings, bought: Iterable[InstanceSettings] = ()) -> None:
        instances = (*settings.instances, *bought)
        self._binds: dict[int, dict[Address, str]] = {}  # by port, by address: whose it is
        self._own = {ipaddress.ip_address(one.egress_ip) for one in instances if one.egress_ip is not None}
        self._add(settings.admin.bind, "the admin API")
        for index, entry in enumerate(settings.entry):
            self._add(entry.bind, f"entry[{index}]")
        for instance in instances:
            for index, entry in enumerate(instance.entry or ()):
                self._add(entry.bind, f"entry[{index}] of instance {instance.id}")

    def _add(self, bind: Bind, owner: str) -> None:
        address = ipaddress.ip_address(bind.host)
        self._own.add(address)
        self._binds.setdefault(bind.port, {}).setdefault(address, owner)

    def listener_at(self, url: Url) -> str | None:
        """Whose listener a connection to the url comes to, by what is written: no name is looked up."""
        binds = self._binds.get(url.dialled_port)
        if not binds:
            return None
        for address in _addresses(url.host):
            for bound, owner in binds.items():
                if address == bound or (bound.is_unspecified and _is_here(address, bound, self._own)):
                    return owner
        return None


def check_targets(service: ServiceSettings, own: OwnAddresses, at: str) -> Iterator[Fault]:
    """The targets of one service's upstream, which stands at ``at``."""
    for index, target in enumerate(service.upstream.targets):
        owner = own.listener_at(parse_url(target.url))
        if owner is not None:
            yield Fault(f"{at}.targets[{index}].url", f"is this node itself, {owner}: requests would go round")


def check_tracing(settings: Settings, own: OwnAddresses) -> Iterator[Fault]:
    """Spans that are sent through the node are exchanges, which have spans."""
    if settings.tracing is not None:
        owner = own.listener_at(parse_url(settings.tracing.endpoint))
        if owner is not None:
            yield Fault("tracing.endpoint", f"is this node itself, {owner}: spans would have spans")


def _addresses(host: str) -> tuple[Address, ...]:
    name = host.removesuffix(".")
    if name in _LOOPBACK_NAMES or name.endswith(".localhost"):
        return _LOOPBACK
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return ()
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    # A connection to no address goes to the machine itself.
    return (address, *_LOOPBACK) if address.is_unspecified else (address,)


def _is_here(address: Address, bound: Address, own: Collection[Address]) -> bool:
    """Whether what listens on all addresses, of both families where it is `::`, is reached at this one."""
    if address.version == 6 and bound.version == 4:
        return False
    return address.is_loopback or address in own or _is_of_this_machine(address)


def _is_of_this_machine(address: Address) -> bool:
    """A connection to one's own address begins at it. Nothing is sent: the socket is UDP's."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return ipaddress.ip_address(probe.getsockname()[0]) == address
    except OSError:
        return False
