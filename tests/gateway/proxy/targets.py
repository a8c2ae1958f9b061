"""Targets and groups without a worker around them."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.proxy.balance import Address, TargetGroup, make_group
from gateway.proxy.pool import Peer, Pool
from gateway.proxy.resolver import Resolver
from gateway.proxy.target import Place, Target

EJECT_S = 10.0


@dataclass
class Client:
    """A client as balancing sees it."""

    address: str = "192.0.2.1"

    def client_address(self) -> Address:
        return ipaddress.ip_address(self.address)


def pool_of(place: Place) -> Pool:
    return Pool(Peer("one", *place.address, place.network, place.egress_ip, place.tls, 60.0), None)


@dataclass
class Group:
    """A group, and what it told of its targets."""

    balance: str
    weights: Sequence[int]
    urls: Sequence[str] = ()
    told: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        urls = self.urls or [f"http://127.0.0.1:{9000 + index}" for index in range(len(self.weights))]
        resolver = Resolver()
        places = [Place("orders", url, "vpc", None, "") for url in urls]
        self.targets = [Target(place, pool_of(place), resolver) for place in places]
        self.group: TargetGroup = make_group(
            self.balance,
            list(zip(self.targets, self.weights, strict=True)),
            EJECT_S,
            lambda at, target: self.told.append((at, target.url)),
        )
        for target in self.targets:
            target.group = self.group

    def pick(self, now_s: float = 0.0, client: str = "192.0.2.1", avoid: Target | None = None) -> Target | None:
        return self.group.pick(now_s, Client(client), avoid)

    def picks(self, count: int, now_s: float = 0.0) -> list[Target | None]:
        return [self.pick(now_s) for _ in range(count)]


def fail(target: Target, times: int, now_s: float = 0.0) -> None:
    for _ in range(times):
        target.failed(now_s)
