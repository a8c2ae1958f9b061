"""The targets of a worker over its snapshots: one that stays keeps its connections and its health."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson

from gateway.proxy.balance import News, TargetGroup, make_group
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
        self._budgets: dict[str, RetryBudget] = {}
        self._fresh: dict[Place, Target] = {}
        self._fresh_budgets: dict[str, RetryBudget] = {}
        self._groups: list[tuple[TargetGroup, int]] = []

    def begin(self) -> None:
        """A new snapshot is about to be read."""
        self._fresh, self._fresh_budgets, self._groups = {}, {}, []

    def group(self, service: str, upstream: dict[str, Any], egress_ip: str | None) -> TargetGroup:
        """The targets of a snapshot's service."""
        tls = upstream["tls"]
        tls_text = orjson.dumps(tls).decode()
        members = []
        for item in upstream["targets"]:
            place = Place(service, item["url"], item["network"], egress_ip, tls_text)
            members.append((self._target(place, tls), item["weight"]))
        group = make_group(upstream["balance"], members, upstream["eject"], self._news)
        self._groups.append((group, upstream["connections_max"]))
        return group

    def keep(self, service: str, group: TargetGroup, tls: dict[str, Any]) -> bool:
        """The service is as it was, so its group stays; False where a file of its TLS settings changed."""
        for target in group.targets:
            if target.place.is_tls and self._tls.context(tls) is not target.tls:
                return False
        for target in group.targets:
            self._fresh[target.place] = target
        self._fresh_budgets[service] = self._budgets[service]
        return True

    def _target(self, place: Place, tls: dict[str, Any]) -> Target:
        context = self._tls.context(tls) if place.is_tls else None
        target = self._fresh.get(place) or self._targets.get(place)
        if target is None or target.tls is not context:
            target = Target(place, self._resolver, context, tls["server_name"])
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
        for group, connections_max in self._groups:
            for target in group.targets:
                target.group = group
                target.connections_max = connections_max
        for place, target in self._targets.items():
            if self._fresh.get(place) is not target:
                target.group = None
                target.retire()
                if target.is_ejected:
                    self._news("returned", target)
        self._targets, self._budgets = self._fresh, self._fresh_budgets
        self._resolver.keep_only({target.host for target in self._targets.values()})
        self._tls.drop_unused()
        self._groups = []

    def set_down(self, down: Collection[tuple[str, str]]) -> None:
        """(service, url) of all that the probes found down; all others are not."""
        self._down = set(down)
        for place, target in self._targets.items():
            is_down = (place.service, place.url) in self._down
            if target.is_probed_down != is_down and target.group is not None:
                target.group.probed(target, is_down=is_down)
