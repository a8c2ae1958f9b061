"""Snapshots into routers, reusing what did not change, in steps small enough to serve requests in between.

A service whose digest and instance are as before keeps its object, with its targets' connections and its limits'
leases. Routes are read when the first request asks for them, or with their service where they were in use before.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from functools import partial
from math import inf
from typing import Any

from gateway.limits.limit import Limit
from gateway.limits.quota import QuotaHandles
from gateway.limits.table import LimitTable
from gateway.proxy.service import Instance, RowOf, Service
from gateway.proxy.target_book import TargetBook
from gateway.routing.router import Router
from gateway.snapshot_file import Place, SnapshotFile

LimitKey = tuple[str, int, int, int]  # name, slot (which is of one level), qps, burst_ms


class LimitHandles:
    """The limits of one service or instance in this worker: two handles of a limit would take two leases.

    ``before`` are those of the same one in the snapshot before; what is there in both is taken over.
    """

    def __init__(self, table: LimitTable, workers: int, burst_ms: int, before: LimitHandles | None) -> None:
        self._table = table
        self._workers = workers
        self._burst_ms = burst_ms
        self._before = {} if before is None else before.limits
        self.limits: dict[LimitKey, Limit] = {}

    def limit(self, level: str, name: str, document: dict[str, Any]) -> Limit:
        key = (name, document["slot"], document["qps"], self._burst_ms)
        limit = self.limits.get(key) or self._before.get(key)
        if limit is None:
            limit = Limit(
                self._table,
                document["slot"],
                document["qps"],
                level,
                name,
                burst_ms=self._burst_ms,
                workers=self._workers,
            )
        self.limits[key] = limit
        return limit

    def let_go(self) -> None:
        """Everything that was in use before has been taken over."""
        self._before = {}


class RouterBuilder:
    """One worker's. ``build`` a router to its end, put it in use, then ``discard`` to its end what it replaced."""

    def __init__(self, table: LimitTable, workers: int, row_of: RowOf, book: TargetBook, quotas: QuotaHandles) -> None:
        self._table = table
        self._quotas = quotas
        self._workers = workers
        self._row_of = row_of
        self._book = book
        self.services_made = 0  # with a change, and again when their routes are read
        self.least_timeout_s = inf  # of the services in use
        self._burst_ms = 0
        self._instances: dict[str, tuple[dict[str, Any], Instance, LimitHandles]] = {}
        self._services: dict[str, tuple[str, Service, LimitHandles]] = {}  # by id, with the digest
        self._rows_made: set[int] = set()  # by the build under way, or the last one
        self._replaced: list[tuple[Service, LimitHandles]] = []

    def build(self, file: SnapshotFile) -> Generator[None, None, Router[Service]]:
        """Yields after each service. Nothing is changed until the end; what raises leaves everything as it was."""
        is_same_burst = file.burst_ms == self._burst_ms
        instances: dict[str, tuple[dict[str, Any], Instance, LimitHandles]] = {}
        for id, document in file.instances.items():
            known = self._instances.get(id)
            if known is not None and is_same_burst and _but_serving(known[0]) == _but_serving(document):
                instances[id] = (document, known[1], known[2])
            else:
                limits = self._handles(file, None if known is None else known[2])
                instances[id] = (document, Instance(id, document, limits.limit), limits)
                limits.let_go()
        router: Router[Service] = Router()
        self._rows_made = set()
        self._book.begin()
        services: dict[str, tuple[str, Service, LimitHandles]] = {}
        for place in file.services:
            head = file.head(place)
            instance = instances[head["instance"]][1]
            before = self._services.get(place.id)
            is_kept = before is not None and before[0] == place.digest and before[1].instance is instance
            # The book is asked last: it takes note of what is kept.
            if before is None or not is_kept or not self._keeps_targets(head, before[1]):
                limits = self._handles(file, None if before is None else before[2])
                service = self._made(file, place, head, instance, limits, None if before is None else before[1])
                limits.let_go()
            else:
                service, limits = before[1], before[2]
                if service.routes is not None and not service.routes.is_grown:
                    service.routes.read = partial(self._routes, file, place)  # Lets go of the file before.
            services[place.id] = (place.digest, service, limits)
            router.add(
                [host.encode() for host in head["hosts"]], head["path"].encode(), service, folds_case=service.folds_case
            )
            yield
        for document, instance, _ in instances.values():
            instance.is_serving = document["serving"]
        least_timeout_s = inf
        for _, service, _ in services.values():
            service.look_at_instance()
            least_timeout_s = min(least_timeout_s, service.least_timeout_s)
        for id, (_, service, limits) in self._services.items():
            if id not in services or services[id][1] is not service:
                service.is_replaced = True
                self._replaced.append((service, limits))
        self._book.swap()
        self.least_timeout_s = least_timeout_s
        self._burst_ms, self._instances, self._services = file.burst_ms, instances, services
        return router

    @property
    def rows(self) -> set[int]:
        """Those of the services that requests may come for, now or when the build under way is done."""
        return {service.row for _, service, _ in self._services.values()} | self._rows_made

    @property
    def serving(self) -> set[str]:
        """Ids of the instances that may serve."""
        return {id for id, (_, instance, _) in self._instances.items() if instance.is_serving}

    def discard(self) -> Generator[None, None, None]:
        """Lets go of what the last build replaced, service by service: a million objects at once take 60 ms."""
        while self._replaced:
            self._replaced.pop()
            yield

    def _made(
        self,
        file: SnapshotFile,
        place: Place,
        head: dict[str, Any],
        instance: Instance,
        limits: LimitHandles,
        before: Service | None,
    ) -> Service:
        self.services_made += 1
        row = self._row_of(instance.account, instance.id, instance.region, place.id)
        self._rows_made.add(row)
        targets = self._book.group(instance.id, place.id, head["upstream"], instance.egress_ip)
        budget = self._book.budget(place.id, time.monotonic())
        read = partial(self._routes, file, place) if place.has_routes else None
        service = Service(head, instance, row, limits.limit, self._quotas.quota, targets, budget, read)
        if service.routes is not None and before is not None and before.routes is not None and before.routes.is_grown:
            service.routes.grow()  # While the one before has the leases, and not with a client waiting.
        return service

    def _keeps_targets(self, head: dict[str, Any], service: Service) -> bool:
        return self._book.keep(service.id, service.targets, head["upstream"]["tls"])

    def _handles(self, file: SnapshotFile, before: LimitHandles | None) -> LimitHandles:
        return LimitHandles(self._table, self._workers, file.burst_ms, before)

    def _routes(self, file: SnapshotFile, place: Place) -> list[dict[str, Any]]:
        self.services_made += 1
        return file.routes(place)


def _but_serving(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "serving": True}
