"""Settings, services and entitlements compiled into what the workers route by. Pure: no clock, no file.

The shape is plain data ready for use, so that a worker checks nothing: see README.md.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from config.catalog import Catalog
from config.schema import Cors, Health, InstanceSettings, ServiceSettings, Settings
from gateway.control.pools import SHARED, workers_of
from gateway.limits.entry import LimitEntry
from gateway.snapshot_file import Piece

Document = dict[str, Any]
# (pool, name of the limit or quota) -> its slot in the pool's table of them.
SlotOf = Callable[[str, str], int]


class PoolSnapshot(NamedTuple):
    """What a pool's workers route by, without a version. ``limits`` are those of the instances."""

    burst_ms: int
    instances: dict[str, Document]
    services: list[Piece]
    limits: tuple[LimitEntry, ...]
    workers: int = 1

    def limit_entries(self) -> Iterator[LimitEntry]:
        yield from self.limits
        for piece in self.services:
            yield from piece.limits

    def differs(self, other: PoolSnapshot) -> bool:
        """By digests: comparing what they were made from takes longer than anything else here."""
        if (self.burst_ms, self.instances) != (other.burst_ms, other.instances):
            return True
        return [piece.digest for piece in self.services] != [piece.digest for piece in other.services]


class CompiledServices:
    """The services of the last snapshots, encoded: one whose settings are the same object is not compiled again."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[ServiceSettings, InstanceSettings, Catalog, Piece]] = {}
        self._next: dict[str, tuple[ServiceSettings, InstanceSettings, Catalog, Piece]] = {}

    def piece(self, service: ServiceSettings, instance: InstanceSettings, compiler: _PoolCompiler) -> Piece:
        known = self._last.get(service.id)
        if known is None or any(a is not b for a, b in zip(known, (service, instance, compiler.catalog), strict=False)):
            known = (service, instance, compiler.catalog, compiler.piece(service, instance))
        self._next[service.id] = known
        return known[3]

    def turn(self) -> None:
        """A compilation has ended: what was not in it is forgotten."""
        self._last, self._next = self._next, {}


def compile_snapshots(
    settings: Settings,
    catalog: Catalog,
    services: Sequence[ServiceSettings],
    entitlements: Mapping[str, bool],
    slot_of: SlotOf,
    compiled: CompiledServices | None = None,
) -> dict[str, PoolSnapshot]:
    """By pool, its snapshot. An instance that billing does not know is not served."""
    compiled = compiled or CompiledServices()
    pools: dict[str, PoolSnapshot] = {}
    log_share = settings.access_log.share if settings.access_log is not None else 0.0
    by_instance: dict[str, list[ServiceSettings]] = {}
    for service in services:
        by_instance.setdefault(service.instance, []).append(service)
    for pool in [SHARED, *(one.id for one in settings.instances if one.type == "dedicated")]:
        members = {one.id: one for one in settings.instances if pool_of(one) == pool}
        timezone = settings.billing.timezone
        compiler = _PoolCompiler(catalog, entitlements, partial(slot_of, pool), log_share, timezone)
        instances = {id: compiler.instance(one) for id, one in members.items()}
        limits = compiler.limits_named()
        pieces = [
            compiled.piece(service, one, compiler) for id, one in members.items() for service in by_instance.get(id, ())
        ]
        pools[pool] = PoolSnapshot(settings.limits.burst_ms, instances, pieces, limits, workers_of(settings, pool))
    compiled.turn()
    return pools


def pool_of(instance: InstanceSettings) -> str:
    """Shared instances are served by one pool; a dedicated one by its own (L8)."""
    return SHARED if instance.type == "shared" else instance.id


class _PoolCompiler:
    def __init__(
        self,
        catalog: Catalog,
        entitlements: Mapping[str, bool],
        slot_of: Callable[[str], int],
        log_share: float,
        timezone: str,
    ) -> None:
        self.catalog = catalog
        self._timezone = timezone
        self._entitlements = entitlements
        self._slot_of = slot_of
        self._log_share = log_share
        self._named: list[LimitEntry] = []  # the limits since the last look

    def instance(self, instance: InstanceSettings) -> Document:
        qps = instance_qps(instance, self.catalog)
        return {
            "account": instance.account,
            "type": instance.type,
            "region": instance.region,
            "serving": self._entitlements.get(instance.id, False),
            "body_max": body_max(instance, self.catalog),
            "egress_ip": instance.egress_ip,
            "log_share": self._log_share if instance.access_log is None else instance.access_log,
            "limit": None
            if qps is None
            else self._limit(LimitEntry(f"instance:{instance.id}", instance=instance.id, qps=qps)),
        }

    def piece(self, service: ServiceSettings, instance: InstanceSettings) -> Piece:
        return Piece.of(self._service(service, instance), self.limits_named())

    def limits_named(self) -> tuple[LimitEntry, ...]:
        """The limits compiled since the last call."""
        named, self._named = tuple(self._named), []
        return named

    def _service(self, service: ServiceSettings, instance: InstanceSettings) -> Document:
        outer_qps = instance_qps(instance, self.catalog)
        qps = _least(service.qps, self.catalog.limits_of(instance).service)
        # One no stricter than the instance's is held by that one already.
        is_stricter = outer_qps is None or qps < outer_qps
        entry = LimitEntry("", instance=service.instance, service=service.id, is_shadow=service.limit_mode == "shadow")
        return {
            "id": service.id,
            "instance": service.instance,
            "hosts": list(service.hosts),
            "path": service.path,
            "strip_path": service.strip_path,
            "path_case": service.path_case,
            "trailing_slash": service.trailing_slash,
            "path_escapes": service.path_escapes,
            "merge_slashes": service.merge_slashes,
            "location": service.location,
            "protocol": service.protocol,
            "limit_mode": service.limit_mode,
            "wait_ms_max": service.wait_ms_max,
            "limit": self._limit(entry._replace(name=f"service:{service.id}", qps=qps)) if is_stricter else None,
            "auth": self._auth(service, entry._replace(is_shadow=False)),
            "allow": [str(cidr) for cidr in service.allow],
            "deny": [str(cidr) for cidr in service.deny],
            "cors": None if service.cors is None else _cors(service.cors),
            "upstream": _upstream(service),
            "routes": [self._route(service, instance, route, entry, qps) for route in service.routes],
        }

    def _route(
        self, service: ServiceSettings, instance: InstanceSettings, route: Any, entry: LimitEntry, outer_qps: int
    ) -> Document:
        qps = _least(route.qps, self.catalog.limits_of(instance).route)
        limit = None
        if qps < outer_qps:
            limit = self._limit(entry._replace(name=f"route:{service.id}/{route.id}", part=route.id, qps=qps))
        return {"id": route.id, "methods": list(route.methods), "path": route.path, "limit": limit}

    def _auth(self, service: ServiceSettings, entry: LimitEntry) -> Document | None:
        if service.auth.type == "none":
            return None
        keys: list[Document] = []
        for key in service.auth.keys:
            of_key = entry._replace(part=key.id)
            document: Document = {"id": key.id, "sha256": key.sha256.lower()}
            if key.qps is not None:
                document["limit"] = self._limit(of_key._replace(name=f"key:{service.id}/{key.id}", qps=key.qps))
            if key.quota is not None:
                name, calls, per = f"quota:{service.id}/{key.id}", key.quota.calls, key.quota.per
                slot = self._name(of_key._replace(name=name, qps=calls, per=per))
                document["quota"] = {"slot": slot, "calls": calls, "per": per, "timezone": self._timezone}
            keys.append(document)
        auth = service.auth
        return {"in": auth.place, "name": auth.name_there, "strip": auth.strip, "keys": keys}

    def _limit(self, entry: LimitEntry) -> Document:
        return {"slot": self._name(entry), "qps": entry.qps}

    def _name(self, entry: LimitEntry) -> int:
        slot = self._slot_of(entry.name)
        self._named.append(entry._replace(slot=slot))
        return slot


def limits_in(service: ServiceSettings, instance: InstanceSettings, catalog: Catalog) -> tuple[int, int]:
    """How many limits, and how many quotas, a snapshot names for the service: as `_PoolCompiler` does."""
    outer_qps, most = instance_qps(instance, catalog), catalog.limits_of(instance)
    qps = _least(service.qps, most.service)
    limits = int(outer_qps is None or qps < outer_qps)
    limits += sum(_least(route.qps, most.route) < qps for route in service.routes)
    if service.auth.type == "none":
        return limits, 0
    keys = service.auth.keys
    return limits + sum(key.qps is not None for key in keys), sum(key.quota is not None for key in keys)


def instance_qps(instance: InstanceSettings, catalog: Catalog) -> int | None:
    """Requests a second of the whole instance; None where neither catalog nor configuration limits it (L3)."""
    most = catalog.limits_of(instance).instance
    return instance.qps if most is None else _least(instance.qps, most)


def _least(wished: int | None, most: int) -> int:
    return most if wished is None else min(wished, most)


def network_of(url: str) -> str:
    """The network class of a backend by its address (B13): private and loopback are inner; a name is outside."""
    try:
        address = ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return "vpc" if urlsplit(url).hostname == "localhost" else "internet"
    is_inner = address.is_loopback or any(address in net for net in _INNER if net.version == address.version)
    return "vpc" if is_inner else "internet"


# RFC 1918 and RFC 4193, as B13 names them.
_INNER = [ipaddress.ip_network(cidr) for cidr in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]


def _cors(cors: Cors) -> Document:
    return {
        "origins": list(cors.origins),
        "methods": list(cors.methods),
        "headers": list(cors.headers),
        "expose": list(cors.expose),
        "credentials": cors.credentials,
        "max_age": int(cors.max_age),
    }


def _upstream(service: ServiceSettings) -> Document:
    upstream = service.upstream
    networks = [upstream.network or network_of(target.url) for target in upstream.targets]
    return {
        "network": networks[0],
        "balance": upstream.balance,
        "preserve_host": upstream.preserve_host,
        "on_5xx": upstream.on_5xx,
        "retries": upstream.retries,
        "pool_idle": upstream.pool_idle,
        "connections_max": upstream.connections_max,
        "eject": (upstream.health or Health()).eject,
        "tls": upstream.tls.model_dump(mode="json"),
        "timeouts": {
            "connect": upstream.timeouts.connect,
            "response": upstream.timeouts.response,
            "idle": upstream.timeouts.idle,
        },
        "targets": [
            {"url": target.url, "weight": target.weight, "network": network}
            for target, network in zip(upstream.targets, networks, strict=True)
        ],
    }


def body_max(instance: InstanceSettings, catalog: Catalog) -> int:
    """Bytes of content a request may have: fixed for shared, settable for dedicated (L1)."""
    return instance.body_max or catalog.spec_of(instance).body_max
