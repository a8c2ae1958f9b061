"""What has to hold between the values of a configuration. Each check yields faults; none stops another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec

from config.catalog import Catalog
from config.currencies import require_payable
from config.entry_checks import check_entry
from config.errors import Fault
from config.limit_checks import LIMITS_MAX, limits_max_reached
from config.loop_checks import OwnAddresses, check_targets, check_tracing
from config.prices import PriceBook
from config.route_checks import check_routes
from config.schema import Account, Entry, InstanceSettings, Node, ServiceSettings, Settings
from config.upstream_checks import check_upstream

DEDICATED_ONLY = ("spec", "charge", "entry", "workers", "body_max", "egress_ip")


@dataclass(frozen=True)
class Scope:
    """What the checks look at. ``*_ids`` hold every declared id, of items too that are faulty otherwise.

    ``places``: where an item stands in the file, by identity, since faulty items are missing in ``settings``.
    """

    settings: Settings
    catalog: Catalog
    book: PriceBook
    account_ids: frozenset[str]
    instance_ids: frozenset[str]
    has_entry: bool
    places: dict[int, str] = field(default_factory=dict)

    @cached_property
    def own_addresses(self) -> OwnAddresses:
        return OwnAddresses(self.settings)

    def place(self, item: object) -> str:
        return self.places.get(id(item), "")

    def instance(self, id: str) -> InstanceSettings | None:
        return next((one for one in self.settings.instances if one.id == id), None)


def _opening(account: Account, at: str) -> Iterator[Fault]:
    for bucket in ("cash", "gift", "income"):
        try:
            require_payable(getattr(account.opening, bucket), account.currency)
        except ValueError as error:
            yield Fault(f"{at}.opening.{bucket}", str(error))


def check(scope: Scope) -> list[Fault]:
    """Every fault between values."""
    faults = list(_duplicates(scope))
    faults += _access_log(scope)
    faults += _tracing(scope)
    for account in scope.settings.accounts:
        if account.currency != scope.book.currency:
            faults.append(
                Fault(
                    f"{scope.place(account)}.currency",
                    f"the price book is in {scope.book.currency}; nothing is converted (B26)",
                )
            )
        faults += _opening(account, scope.place(account))
        for name in ("email", "emails"):
            if getattr(account.notify, name, None) and scope.settings.smtp is None:
                faults.append(
                    Fault(f"{scope.place(account)}.notify.{name}", "needs `smtp`, the server that takes mail")
                )
    for instance in scope.settings.instances:
        faults += _instance(scope, instance, scope.place(instance))
    for service in scope.settings.services:
        faults += check_service(scope, service, scope.place(service))
    faults += _routing_clashes(scope)
    faults += _service_counts(scope)
    faults += _limit_counts(scope)
    faults += _binds(scope)
    for at, entry in _entries(scope):
        faults += check_entry(entry, at, is_shared=at.startswith("entry["))
    return faults


def _access_log(scope: Scope) -> Iterator[Fault]:
    log = scope.settings.access_log
    if log is not None:
        folder = log.file.parent
        node: Node | None = scope.settings.node  # None where it is a fault itself
        if not folder.is_dir() and (node is None or folder.resolve() != node.data_dir.resolve()):
            yield Fault("access_log.file", f"{folder} is no folder")
        return
    for instance in scope.settings.instances:
        if instance.access_log is not None:
            yield Fault(f"{scope.place(instance)}.access_log", "there is no access_log to write to")


def _tracing(scope: Scope) -> Iterator[Fault]:
    if scope.settings.tracing is not None and not _is_installed("opentelemetry.exporter.otlp.proto.http"):
        yield Fault("tracing", "needs the extra otel: pip install 'tollgate[otel]'")
    yield from check_tracing(scope.settings, scope.own_addresses)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package around it
        return False


def _duplicates(scope: Scope) -> Iterator[Fault]:
    for items in (scope.settings.accounts, scope.settings.instances, scope.settings.services):
        seen: set[str] = set()
        for item in items:
            if item.id in seen:
                yield Fault(f"{scope.place(item)}.id", f"{item.id} stands twice")
            seen.add(item.id)


def check_bought(scope: Scope, instance: InstanceSettings) -> Iterator[Fault]:
    """An instance that is none of the file's against all of them. Paths are relative to it."""
    if scope.instance(instance.id) is not None:
        yield Fault("id", f"there is an instance {instance.id}")
    yield from _instance(scope, instance, "")
    taken = {entry.bind: at for at, entry in _entries(scope)} | {scope.settings.admin.bind: "admin"}
    for index, entry in enumerate(instance.entry or ()):
        at = f"entry[{index}]"
        if entry.bind in taken:
            yield Fault(f"{at}.bind", f"{entry.bind} is taken by {taken[entry.bind]}")
        taken.setdefault(entry.bind, at)
        yield from check_entry(entry, at, is_shared=False)
    if instance.access_log is not None and scope.settings.access_log is None:
        yield Fault("access_log", "there is no access_log to write to")
    own = OwnAddresses(scope.settings, (instance,))
    for service in scope.settings.services:
        for fault in check_targets(service, own, "upstream"):
            yield Fault("entry", f"service {service.id} has it as a target: {fault.path}")


def _instance(scope: Scope, instance: InstanceSettings, at: str) -> Iterator[Fault]:
    dot = f"{at}." if at else ""
    catalog = scope.catalog
    if instance.account not in scope.account_ids:
        yield Fault(f"{dot}account", f"there is no account {instance.account}")
    region = catalog.regions.get(instance.region)
    if region is None or instance.region not in scope.book.egress:
        yield Fault(f"{dot}region", f"{instance.region!r} is no region of the catalog and the price book")
    if instance.type == "shared":
        for name in DEDICATED_ONLY:
            if getattr(instance, name) is not None:
                yield Fault(f"{dot}{name}", "is for dedicated instances only (L5)")
        if not scope.has_entry:
            yield Fault(f"{dot}type", "a shared instance needs a top-level entry to be reached by")
        spec = catalog.shared
    else:
        if region is not None and not region.dedicated:
            yield Fault(f"{dot}region", f"no dedicated instances in {instance.region} (L6)")
        if not instance.entry:
            yield Fault(f"{dot}entry", "a dedicated instance needs an entry of its own (L8)")
        if instance.charge is None:
            yield Fault(f"{dot}charge", "is missing: payg, or {prepaid_months: N}")
        if instance.spec not in catalog.dedicated:
            known = ", ".join(catalog.dedicated)
            yield Fault(f"{dot}spec", f"{instance.spec!r} is not in the catalog ({known})")
            return
        if instance.spec not in scope.book.instances:
            yield Fault(f"{dot}spec", f"the price book has no price for {instance.spec}")
        spec = catalog.dedicated[instance.spec]
        if instance.body_max is not None and instance.body_max > spec.body_max_ceiling:
            yield Fault(f"{dot}body_max", f"more than {spec.body_max_ceiling} bytes, the most there is (L1)")
    most = spec.qps.instance
    if instance.qps is not None and most is not None and instance.qps > most:
        yield Fault(f"{dot}qps", f"may only lower the {most} of its kind (L3)")


def check_service(scope: Scope, service: ServiceSettings, at: str) -> Iterator[Fault]:
    """One service against its instance. ``at``: its place, empty where it stands alone."""
    dot = f"{at}." if at else ""
    if service.instance not in scope.instance_ids:
        yield Fault(f"{dot}instance", f"there is no instance {service.instance}")
    instance = scope.instance(service.instance)
    has_spec = instance is not None and (instance.type == "shared" or instance.spec in scope.catalog.dedicated)
    if instance is not None and has_spec:
        limits = scope.catalog.limits_of(instance)
        most = min(limits.service, instance.qps or limits.service)
        if service.qps is not None and service.qps > most:
            yield Fault(f"{dot}qps", f"may only lower its instance's {most} (L3)")
        outer = service.qps or most
        for index, route in enumerate(service.routes):
            if route.qps is not None and route.qps > min(outer, limits.route):
                yield Fault(f"{dot}routes[{index}].qps", f"may only lower its service's {outer} (L3)")
        for index, key in enumerate(service.auth.keys):
            if key.qps is not None and key.qps > outer:
                yield Fault(f"{dot}auth.keys[{index}].qps", f"may only lower its service's {outer} (L3)")
    if service.auth.type == "key" and not service.auth.keys:
        yield Fault(f"{dot}auth.keys", "a service with keys needs at least one")
    yield from _key_place(service, dot)
    key_ids = [key.id for key in service.auth.keys]
    for index, id in enumerate(key_ids):
        if id in key_ids[:index]:
            yield Fault(f"{dot}auth.keys[{index}].id", f"{id} stands twice")
    if service.cors is not None and service.cors.credentials and "*" in service.cors.origins:
        yield Fault(f"{dot}cors.origins", "with credentials, browsers take named origins only")
    for index, host in enumerate(service.hosts):
        if host in service.hosts[:index]:
            yield Fault(f"{dot}hosts[{index}]", f"{host} stands twice")
    yield from check_routes(service, dot)
    yield from check_upstream(service.upstream, f"{dot}upstream")
    yield from check_targets(service, scope.own_addresses, f"{dot}upstream")


def _key_place(service: ServiceSettings, dot: str) -> Iterator[Fault]:
    auth = service.auth
    if auth.header is not None and auth.place != "header":
        yield Fault(f"{dot}auth.header", f"is for keys in a field; they are in the {auth.place}: say `name`")
    elif auth.header is not None and auth.name is not None:
        yield Fault(f"{dot}auth.header", "says what `name` says")
    if auth.type == "key" and auth.place == "subprotocol" and service.protocol == "http":
        yield Fault(f"{dot}auth.in", "a subprotocol is of WebSockets, and the protocol is http")


def routing_keys(service: ServiceSettings, pool: str) -> list[tuple[str, str, str]]:
    """What has to be unique on an entry: pool, host, path (DESIGN 1.7)."""
    path = service.path.lower() if service.path_case == "fold" else service.path
    return [(pool, host, path) for host in dict.fromkeys(service.hosts or ("*",))]


def pool_of(instance: InstanceSettings) -> str:
    return "shared" if instance.type == "shared" else f"dedicated:{instance.id}"


def _routing_clashes(scope: Scope) -> Iterator[Fault]:
    taken: dict[tuple[str, str, str], str] = {}
    for service in scope.settings.services:
        instance = scope.instance(service.instance)
        if instance is None:
            continue
        for key in routing_keys(service, pool_of(instance)):
            if key in taken:
                yield Fault(
                    f"{scope.place(service)}.path",
                    f"host {key[1]} and path {key[2]} are service {taken[key]}'s on the same entry",
                )
                break
            taken[key] = service.id


def _service_counts(scope: Scope) -> Iterator[Fault]:
    counts: dict[str, int] = {}
    for service in scope.settings.services:
        instance = scope.instance(service.instance)
        if instance is None or (instance.type == "dedicated" and instance.spec not in scope.catalog.dedicated):
            continue
        counts[instance.id] = counts.get(instance.id, 0) + 1
        most = scope.catalog.services_max(instance)
        if counts[instance.id] == most + 1:
            yield Fault(f"{scope.place(service)}.instance", f"{instance.id} takes {most} services (L2)")


def _limit_counts(scope: Scope) -> Iterator[Fault]:
    for fault, service in too_many_limits(scope, scope.settings.services):
        yield Fault(f"{scope.place(service)}.routes", fault)


def too_many_limits(scope: Scope, services: Sequence[ServiceSettings]) -> Iterator[tuple[str, ServiceSettings]]:
    """For each pool with more limits than it has room for: what is wrong, and the service that is one too many."""
    instances = {
        one.id: one for one in scope.settings.instances if one.type == "shared" or one.spec in scope.catalog.dedicated
    }
    pools: dict[str, list[tuple[ServiceSettings, InstanceSettings]]] = {}
    for service in services:
        instance = instances.get(service.instance)
        if instance is not None:
            pools.setdefault(pool_of(instance), []).append((service, instance))
    for members in pools.values():
        last = limits_max_reached(members, scope.catalog)
        if last is not None:
            yield f"the workers of its instance hold {LIMITS_MAX} limits and quotas, and these are more", last


def _entries(scope: Scope) -> Iterator[tuple[str, Entry]]:
    for index, entry in enumerate(scope.settings.entry):
        yield f"entry[{index}]", entry
    for instance in scope.settings.instances:
        for index, entry in enumerate(instance.entry or ()):
            yield f"{scope.place(instance)}.entry[{index}]", entry


def _binds(scope: Scope) -> Iterator[Fault]:
    taken = {scope.settings.admin.bind: "admin"}
    for at, entry in _entries(scope):
        bind = entry.bind
        if bind in taken:
            yield Fault(f"{at}.bind", f"{bind} is taken by {taken[bind]}")
        taken.setdefault(bind, at)
