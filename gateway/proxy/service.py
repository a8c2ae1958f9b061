"""Services as the request path uses them: everything that a snapshot decides, decided beforehand."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from gateway.http.request import RequestHead
from gateway.limits.admission import LimitSet
from gateway.limits.limit import Limit
from gateway.limits.quota import Quota, QuotaLimitSet
from gateway.limits.waiting import WaitingRoom
from gateway.proxy.balance import TargetGroup
from gateway.proxy.client_address import UNKNOWN, Address, network
from gateway.proxy.cors import CorsRule
from gateway.proxy.forwarding import prefix_field
from gateway.proxy.key_places import key_place
from gateway.proxy.location import LocationRule
from gateway.proxy.retry_budget import RetryBudget
from gateway.routing.path import path_form, rule_form
from gateway.routing.router import RouteTree

MakeLimit = Callable[[str, str, dict[str, Any]], Limit]  # level, name, {"slot", "qps"}
MakeQuota = Callable[[str, dict[str, Any]], Quota]  # name, {"slot", "calls", "per", "timezone"}
RowOf = Callable[[str, str, str, str], int]  # account, instance, region, service -> first cell


class Instance:
    """One instance. ``limits``: its own, or none where the catalog sets none at this level (L3)."""

    __slots__ = ("account", "body_bytes_max", "egress_ip", "id", "is_serving", "limits", "log_share", "region")

    def __init__(self, id: str, document: dict[str, Any], make_limit: MakeLimit) -> None:
        self.id = id
        self.account: str = document["account"]
        self.region: str = document["region"]
        self.is_serving: bool = document["serving"]
        self.body_bytes_max: int = document["body_max"]
        self.egress_ip: str | None = document["egress_ip"]
        self.log_share: float = document["log_share"]
        self.limits = LimitSet((make_limit("instance", id, document["limit"]),) if document["limit"] else ())


class Key:
    """One API key, with what holds for it beside its route's limits."""

    __slots__ = ("id", "limit", "quota")

    def __init__(self, id: str, limit: Limit | None, quota: Quota | None) -> None:
        self.id = id
        self.limit = limit
        self.quota = quota


class KeyRule:
    """`auth: {type: key}`: hex SHA-256 digests of whole keys, where a request may have one, and what goes on of it."""

    __slots__ = ("_admitted", "_keys", "_place", "takes_out")

    def __init__(self, document: dict[str, Any], service: str, make_limit: MakeLimit, make_quota: MakeQuota) -> None:
        self._place = key_place(document)
        self._keys: dict[bytes, tuple[bytes, Key]] = {}
        for item in document["keys"]:
            digest = bytes.fromhex(item["sha256"])
            name = f"{service}/{item['id']}"
            limit = make_limit("key", name, item["limit"]) if item.get("limit") else None
            quota = make_quota(name, item["quota"]) if item.get("quota") else None
            self._keys[digest] = (digest, Key(str(item["id"]), limit, quota))
        self.takes_out: bool = document["strip"] or self._place.always_takes_out
        # By the hash of a value that was admitted, the value: there are no more than keys, and a digest is 3 us.
        self._admitted: dict[int, tuple[bytes, Key]] = {}

    @property
    def has_bounds(self) -> bool:
        return any(key.limit is not None or key.quota is not None for _, key in self._keys.values())

    def key_in(self, head: RequestHead) -> Key | None:
        """The key that a request has, also when it is asked again. One that stands twice is none."""
        value = self._place.value(head)
        return None if value is None else self.key_of(value)

    def key_of(self, value: bytes) -> Key | None:
        """The key, or None.

        The look-ups are by keyed hash and by digest, which a client cannot steer; comparisons take constant time.
        """
        admitted = self._admitted.get(hash(value))
        if admitted is not None and hmac.compare_digest(admitted[0], value):
            return admitted[1]
        digest = hashlib.sha256(value).digest()
        known = self._keys.get(digest)
        if known is None or not hmac.compare_digest(known[0], digest):
            return None
        self._admitted[hash(value)] = (value, known[1])
        return known[1]

    def prepare(self, head: RequestHead) -> None:
        """For upstream: the key's place alone says the key, or none does."""
        if head.has_odd_names:
            self._place.make_unmistakable(head)
        if self.takes_out:
            self._place.take_out(head)


class AddressRule:
    """`allow` and `deny` by client address; deny wins, an empty allow lets everyone in whose address is known."""

    __slots__ = ("_allow", "_deny")

    def __init__(self, allow: list[str], deny: list[str]) -> None:
        self._allow = [network(cidr) for cidr in allow]
        self._deny = [network(cidr) for cidr in deny]

    def admits(self, address: Address) -> bool:
        if address is UNKNOWN or any(address in network for network in self._deny):
            return False
        return not self._allow or any(address in network for network in self._allow)


@lru_cache(1024)
def _methods(names: tuple[str, ...]) -> frozenset[bytes]:
    """One set for all routes with these methods: a set takes more memory than the rest of a route."""
    return frozenset(name.encode() for name in names)


class Route:
    """One API of a service, with every limit that holds for it. ``shadowed`` refuse nothing.

    Routes without limits of their own share one set: requests for any of them find it where the others left it.
    """

    __slots__ = ("_of_keys", "enforced", "id", "methods", "path", "shadowed")

    def __init__(self, id: str, methods: list[str], path: bytes, enforced: LimitSet, shadowed: LimitSet | None) -> None:
        self.id = id
        self.methods = _methods(tuple(methods))
        self.path = path
        self.enforced = enforced
        self.shadowed = shadowed
        self._of_keys: dict[str, LimitSet] | None = None

    def limits_with(self, key: Key) -> LimitSet:
        """The route's limits and the key's, to be taken together; made once for each key that comes."""
        if key.limit is None and key.quota is None:
            return self.enforced
        if self._of_keys is None:
            self._of_keys = {}
        limits = self._of_keys.get(key.id)
        if limits is None:
            members = self.enforced.limits if key.limit is None else (*self.enforced.limits, key.limit)
            limits = LimitSet(members) if key.quota is None else QuotaLimitSet(members, key.quota)
            self._of_keys[key.id] = limits
        return limits


class Service:
    """One service under its instance. ``row`` is its first cell in the meter; ``read_routes`` None: it has none."""

    __slots__ = (
        "addresses",
        "body_bytes_max",
        "catch_all",
        "connect_timeout_s",
        "cors",
        "ejects_on_5xx",
        "folds_case",
        "has_checks",
        "id",
        "idle_timeout_s",
        "ignores_slash",
        "instance",
        "is_plainly_limited",
        "is_replaced",
        "is_websocket",
        "keys",
        "least_timeout_s",
        "location",
        "path_form",
        "prefix",
        "prefix_bytes",
        "prefix_field",
        "preserves_host",
        "response_timeout_s",
        "retries",
        "retry_budget",
        "routes",
        "row",
        "stripped_prefix",
        "strips_path",
        "takes_upgrades",
        "targets",
        "waiting_room",
    )

    def __init__(
        self,
        document: dict[str, Any],
        instance: Instance,
        row: int,
        make_limit: MakeLimit,
        make_quota: MakeQuota,
        targets: TargetGroup,
        retry_budget: RetryBudget,
        read_routes: Callable[[], list[dict[str, Any]]] | None,
    ) -> None:
        self.id: str = document["id"]
        self.instance = instance
        self.row = row
        self.is_replaced = False  # A snapshot has another in its place, or none.
        self.prefix: str = "" if document["path"] == "/" else document["path"]
        self.prefix_bytes = len(self.prefix)
        self.strips_path: bool = document["strip_path"] and self.prefix_bytes > 0
        self.stripped_prefix = self.prefix.encode() if self.strips_path else b""
        self.prefix_field = prefix_field(self.stripped_prefix) if self.strips_path else b""
        self.location = LocationRule(self.stripped_prefix) if document["location"] == "rewrite" else None
        self.path_form = path_form(document["path_escapes"], merges_slashes=document["merge_slashes"])
        self.folds_case: bool = document["path_case"] == "fold"
        self.ignores_slash: bool = document["trailing_slash"] == "ignore"
        self.is_websocket: bool = document["protocol"] == "websocket"
        self.takes_upgrades: bool = document["protocol"] != "http"
        self.keys = KeyRule(document["auth"], self.id, make_limit, make_quota) if document["auth"] else None
        has_rule = document["allow"] or document["deny"]
        self.addresses = AddressRule(document["allow"], document["deny"]) if has_rule else None
        self.cors = CorsRule(document["cors"]) if document["cors"] else None
        self.body_bytes_max = instance.body_bytes_max
        self.look_at_instance()
        upstream = document["upstream"]
        self.preserves_host: bool = upstream["preserve_host"]
        self.ejects_on_5xx: bool = upstream["on_5xx"]
        self.retries: int = upstream["retries"]
        timeouts = upstream["timeouts"]
        self.connect_timeout_s: float = timeouts["connect"]
        self.response_timeout_s: float = timeouts["response"]
        self.idle_timeout_s: float = timeouts["idle"]
        # Of those that a worker's sweeps pass.
        self.least_timeout_s: float = min(timeouts["response"], timeouts["idle"], upstream["pool_idle"])
        self.targets = targets
        self.retry_budget = retry_budget
        # Shadow mode covers the service's and its routes' limits, not the instance's (DESIGN 1.2).
        is_shadow = document["limit_mode"] == "shadow"
        outer = instance.limits
        own = (make_limit("service", self.id, document["limit"]),) if document["limit"] else ()

        def sets(inner: tuple[Limit, ...]) -> tuple[LimitSet, LimitSet | None]:
            """What is enforced and what is shadowed where the instance's limit has these inside it."""
            if not inner:
                return outer, None
            return (outer, LimitSet(inner)) if is_shadow else (LimitSet(outer.limits + inner), None)

        self.waiting_room = WaitingRoom(document["wait_ms_max"]) if document["wait_ms_max"] else None
        # True: a route's own limits decide alone and at once, and one test says so.
        self.is_plainly_limited = not (is_shadow or self.waiting_room or (self.keys and self.keys.has_bounds))
        plain = sets(own)
        form = partial(rule_form, folds_case=self.folds_case, ignores_slash=self.ignores_slash)
        service_id = self.id  # Not self: a service that its own routes hold would be garbage for the collector.

        def route(id: str, methods: list[str], path: str, limit: dict[str, Any] | None) -> Route:
            if limit is None:
                enforced, shadowed = plain
            else:
                enforced, shadowed = sets((*own, make_limit("route", f"{service_id}/{id}", limit)))
            return Route(id, methods, form(path.encode()), enforced, shadowed)

        self.catch_all = route("-", [], "/*", None)
        self.routes: RouteTree[Route] | None = None
        if read_routes is not None:
            self.routes = RouteTree(read_routes, lambda r: route(r["id"], r["methods"], r["path"], r["limit"]))

    def is_successor_of(self, other: Service) -> bool:
        """Whether it is the same service of the same account, as a later snapshot has it."""
        return (self.id, self.instance.id, self.instance.account) == (
            other.id,
            other.instance.id,
            other.instance.account,
        )

    def look_at_instance(self) -> None:
        """``has_checks`` False: only size and limits stand between a request and its upstream, and one test says so."""
        self.has_checks = bool(
            self.addresses is not None
            or self.keys is not None
            or self.cors is not None
            or self.takes_upgrades
            or not self.instance.is_serving
        )
