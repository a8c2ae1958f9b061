"""The table that workers share has a slot for each limit and quota, and no more than it has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from config.catalog import Catalog
from config.schema import InstanceSettings, ServiceSettings

# Half of the slots (gateway/limits/table.py): those of the configuration before are held until the next is in force.
LIMITS_MAX: Final = 262_144


def limits_max_reached(
    services: Iterable[tuple[ServiceSettings, InstanceSettings]], catalog: Catalog
) -> ServiceSettings | None:
    """Of the services of one pool, the first whose limits are more than there is room for."""
    services = list(services)
    if sum(1 + len(service.routes) + 2 * len(service.auth.keys) for service, _ in services) <= LIMITS_MAX:
        return None  # As nearly always, and without a look at each route.
    instances = {instance.id for _, instance in services}
    count = len(instances)
    for service, instance in services:
        count += _limits_of(service, instance, catalog)
        if count > LIMITS_MAX:
            return service
    return None


def _limits_of(service: ServiceSettings, instance: InstanceSettings, catalog: Catalog) -> int:
    """A route has one of its own where it is stricter than its service."""
    most = catalog.limits_of(instance)
    outer = min(service.qps or most.service, most.service)
    routes = sum(min(route.qps or most.route, most.route) < outer for route in service.routes)
    return 1 + routes + sum((key.qps is not None) + (key.quota is not None) for key in service.auth.keys)
