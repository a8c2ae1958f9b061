"""What a pool's tables of fixed size have room for. What needs more is refused before it is kept: later it would stop
every change, and the next start.

Of limits and quotas a third each: for a snapshot, the one before, which workers may still be on, and the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from config.catalog import Catalog
from config.schema import InstanceSettings, ServiceSettings, Settings
from gateway.control.errors import Refusal, StartError
from gateway.control.snapshot import limits_in, pool_of
from gateway.limits.quota_table import QUOTAS
from gateway.limits.table import SLOTS
from metering.counter_file import ROWS_MAX

LIMITS_MAX: Final = SLOTS // 3
QUOTAS_MAX: Final = QUOTAS // 3
# Half of a worker's rows: a service that goes keeps its row until the hour ends.
SERVICES_MAX: Final = ROWS_MAX // 2


class Need(NamedTuple):
    """Of one service, or of a pool's together."""

    limits: int = 0
    quotas: int = 0
    services: int = 0

    def plus(self, other: Need) -> Need:
        return Need(self.limits + other.limits, self.quotas + other.quotas, self.services + other.services)

    def excess(self) -> tuple[str, str] | None:
        """The code and the words of what is too much."""
        if self.limits > LIMITS_MAX:
            return (
                "limit_slots",
                f"{LIMITS_MAX} limits (of instances, services, routes and keys), not for {self.limits}",
            )
        if self.quotas > QUOTAS_MAX:
            return "quota_slots", f"{QUOTAS_MAX} quotas of keys, not for {self.quotas}"
        if self.services > SERVICES_MAX:
            return "service_slots", f"{SERVICES_MAX} services, not for {self.services}"
        return None


class Room:
    """Remembers what each service needs, as long as its settings are the same object."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[ServiceSettings, InstanceSettings, Catalog, Need]] = {}

    def require(
        self, service: ServiceSettings, others: Iterable[ServiceSettings], settings: Settings, catalog: Catalog
    ) -> None:
        """Raises Refusal `limit_slots`, `quota_slots` or `service_slots` where it does not fit beside the others."""
        instances = {one.id: one for one in settings.instances}
        pool = pool_of(instances[service.instance])
        need = self._needs([*others, service], instances, catalog).get(pool, Need())
        if excess := need.excess():
            raise Refusal(excess[0], f"pool {pool} has room for {excess[1]}")

    def require_file(self, settings: Settings, catalog: Catalog) -> None:
        """Raises StartError where what the file itself declares does not fit."""
        needs = self._needs(settings.services, {one.id: one for one in settings.instances}, catalog)
        for pool, need in needs.items():
            if excess := need.excess():
                raise StartError(f"services: pool {pool} has room for {excess[1]}")

    def _needs(
        self, services: Iterable[ServiceSettings], instances: Mapping[str, InstanceSettings], catalog: Catalog
    ) -> dict[str, Need]:
        needs: dict[str, Need] = {}
        for instance in instances.values():
            pool = pool_of(instance)
            needs[pool] = needs.get(pool, Need()).plus(Need(limits=1))
        for service in services:
            instance = instances[service.instance]
            pool = pool_of(instance)
            needs[pool] = needs[pool].plus(self._need(service, instance, catalog))
        return needs

    def _need(self, service: ServiceSettings, instance: InstanceSettings, catalog: Catalog) -> Need:
        known = self._known.get(service.id)
        if known is None or known[0] is not service or known[1] is not instance or known[2] is not catalog:
            limits, quotas = limits_in(service, instance, catalog)
            known = self._known[service.id] = (service, instance, catalog, Need(limits, quotas, 1))
        return known[3]
