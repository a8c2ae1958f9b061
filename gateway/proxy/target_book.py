"""The targets of a worker over its snapshots: one that stays keeps its health, and its pool its connections."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson

from gateway.proxy.balance import News, TargetGroup, make_group
from gateway.proxy.pool import Peer, Pool
from gateway.proxy.resolver import Resolver
from gateway.proxy.retry_budget import RetryBudget
from gateway.proxy.target import Place, Target
from gateway.proxy.upstream_tls import TlsContexts


class TargetBook:
    """Groups are made while a snapshot is read, and count from ``swap`` on: a snapshot that fails changes nothing."""

    def __init__(self, news: News, resolver: Resolver | None = None) -> None:
        self._news = news
        self._resolver = resolver or Resolver()
        self._tls = TlsContexts()
        self._down: set[tuple[str, str]] = set()
        self._targets: dict[Place, Target] = {}
        self._pools: dict[Peer, Pool] = {}
        self._budgets: dict[str, RetryBudget] = {}
        self._fresh: dict[Place, Target] = {}
        self._fresh_pools: dict[Peer, Pool] = {}
        self._fresh_budgets: dict[str, RetryBudget] = {}
        self._groups: list[tuple[TargetGroup, list[Pool], int]] = []

    def begin(self) -> None:
        """A new snapshot is about to be read."""
        self._fresh, self._fresh_pools, self._fresh_budgets, self._groups = {}, {}, {}, []

    def group(self, instance: str, service: str, upstream: dict[str, Any], egress_ip: str | None) -> TargetGroup:
        """The targets of a snapshot's service."""
        tls = upstream["tls"]
        tls_text = orjson.dumps(tls).decode()
        members, pools = [], []
        for item in upstream["targets"]:
            place = Place(service, item["url"], item["network"], egress_ip, tls_text)
            pool = self._pool(instance, place, upstream["pool_idle"], tls)
            members.append((self._target(place, pool, tls), item["weight"]))
            pools.append(pool)
        group = make_group(upstream["balance"], members, upstream["eject"], self._news)
        self._groups.append((group, pools, upstream["connections_max"]))
        return group

    def keep(self, service: str, group: TargetGroup, tls: dict[str, Any]) -> bool:
        """The service is as it was, so its group stays; False where a file of its TLS settings changed."""
        for target in group.targets:
            if target.place.is_tls and self._tls.context(tls) is not target.tls:
                return False
        for target in group.targets:
            self._fresh[target.place] = target
            self._fresh_pools[target.pool.peer] = target.pool
        self._fresh_budgets[service] = self._budgets[service]
        return True

    def _pool(self, instance: str, place: Place, idle_s: float, tls: dict[str, Any]) -> Pool:
        context = self._tls.context(tls) if place.is_tls else None
        peer = Peer(instance, *place.address, place.network, place.egress_ip, place.tls if place.is_tls else "", idle_s)
        pool = self._fresh_pools.get(peer) or self._pools.get(peer)
        if pool is None or pool.tls is not context:
            pool = Pool(peer, context)
        self._fresh_pools[peer] = pool
        return pool

    def _target(self, place: Place, pool: Pool, tls: dict[str, Any]) -> Target:
        target = self._fresh.get(place) or self._targets.get(place)
        if target is None or target.tls is not pool.tls:
            target = Target(place, pool, self._resolver, pool.tls, tls["server_name"])
            target.is_probed_down = (place.service, place.url) in self._down
        self._fresh[place] = target
        return target

    def budget(self, service: str, now_s: float) -> RetryBudget:
        """The service's, over snapshots too."""
        budget = self._budgets.get(service) or RetryBudget(now_s)
        self._fresh_budgets[service] = budget
        return budget

    def swap(self) -> None:
        """The groups made since ``begin`` are those in use."""
        for group, pools, connections_max in self._groups:
            for target, pool in zip(group.targets, pools, strict=True):
                target.group = group
                target.pool = pool
                target.connections_max = connections_max
        for place, target in self._targets.items():
            if self._fresh.get(place) is not target:
                target.group = None
                if target.is_ejected:
                    self._news("returned", target)
        for pool in self._fresh_pools.values():
            pool.connections_max = 0
        for target in self._fresh.values():
            target.pool.connections_max += target.connections_max
        for peer, pool in self._pools.items():
            if self._fresh_pools.get(peer) is not pool:
                pool.retire()
        self._targets, self._pools, self._budgets = self._fresh, self._fresh_pools, self._fresh_budgets
        self._resolver.keep_only({target.host for target in self._targets.values()})
        self._tls.drop_unused()
        self._groups = []

    def follow_names(self) -> None:
        """Connections go where their names are now: a service that moved may have left its old address to another.

        To be called each second. A look at 10,000 connections takes a millisecond.
        """
        for pool in self._pools.values():
            if pool.is_named and pool.connections:
                addresses = self._resolver.current(pool.peer.host)
                if addresses:
                    pool.keep_to(frozenset(addresses))

    def set_down(self, down: Collection[tuple[str, str]]) -> None:
        """(service, url) of all that the probes found down; all others are not."""
        self._down = set(down)
        for place, target in self._targets.items():
            is_down = (place.service, place.url) in self._down
            if target.is_probed_down != is_down and target.group is not None:
                target.group.probed(target, is_down=is_down)
