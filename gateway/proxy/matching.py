"""From a request's head to its service and route, or to the refusal that says why there is none (DESIGN 1.7)."""

from __future__ import annotations

from typing import Final

from gateway.http.errors import ProtocolError
from gateway.http.max_forwards import METHODS as COUNTED_HOPS
from gateway.http.max_forwards import may_go_on
from gateway.http.request import RequestHead
from gateway.http.request_line import MethodAndPath, forget_found, keep_found
from gateway.limits.admission import LimitSet
from gateway.proxy.service import Route, Service
from gateway.proxy.target import Target
from gateway.routing.path import (
    KEEPING,
    PathForm,
    below_prefix,
    below_segments,
    normal_path,
    rule_form,
    without_parameters,
)
from gateway.routing.router import Router

# Requests repeat their lines, so what was found is kept with the line. One that comes for several hosts has a match for
# each of the last few; so many are kept in all, and then none.
MATCHES_MAX: Final = 32_768
HOSTS_MAX: Final = 16


class Match(MethodAndPath):
    """Where every request with this host, method and path goes, as ``matcher`` has it.

    It stands in the place of the line that it was found for, and has what each request asks of its service: with
    thousands of services in turn each object that a request touches comes from afar. A snapshot that changes a service
    comes with a matcher of its own.
    """

    __slots__ = (
        "enforced",
        "forwarded",
        "has_checks",
        "host",
        "host_field",
        "hosts",
        "is_plainly_limited",
        "is_undecided",
        "is_websocket",
        "matcher",
        "next",
        "only_target",
        "prefix_field",
        "preserves_host",
        "response_timeout_s",
        "route",
        "row",
        "service",
        "upstream_line",
    )
    # What each request touches, first, so that it lies together where this is compiled: in two lines of the cache,
    # as long as an object takes whole lines of it. A test sees to that.
    matcher: Matcher
    host: bytes
    row: int
    has_checks: bool
    is_plainly_limited: bool
    is_websocket: bool
    is_undecided: bool
    preserves_host: bool
    enforced: LimitSet
    only_target: Target | None
    upstream_line: bytes | None
    response_timeout_s: float
    host_field: bytes | None
    prefix_field: bytes

    def __init__(
        self, known: MethodAndPath, matcher: Matcher, host: bytes, service: Service, route: Route, path: bytes
    ) -> None:
        super().__init__(known.line, known.method, known.path)
        self.matcher = matcher
        self.host = host
        self.next: Match | None = None  # the same line's, for another host
        self.hosts = 1  # matches from here on
        self.service = service
        self.row = service.row
        self.has_checks = service.has_checks
        self.is_plainly_limited = service.is_plainly_limited
        self.is_websocket = service.is_websocket
        self.is_undecided = False  # Whether it is a WebSocket's, of a service that takes both, is the answer's to say.
        self.preserves_host = service.preserves_host
        self.prefix_field = service.prefix_field
        self.response_timeout_s = service.response_timeout_s
        targets = service.targets.targets
        self.only_target = targets[0] if len(targets) == 1 else None  # where there is nothing to choose
        self.host_field = targets[0].host_field if len(targets) == 1 else None
        self.route = route
        self.enforced = route.enforced
        self.forwarded = path  # as the upstream sees it, below the target's own
        base_path = service.targets.base_path
        # Method and path of the upstream's request line, where all targets share their base path.
        self.upstream_line = None if base_path is None else known.method + b" " + base_path + path
        if self.upstream_line == known.line:
            self.upstream_line = known.line  # The same object: looked up, it is at hand.
        if path == b"*":  # RFC 9112 3.2.4: `OPTIONS *` is of the whole server, below no path.
            self.upstream_line = known.method + b" *"

    def in_place(self, *, is_websocket: bool, is_undecided: bool = False) -> Match:
        """Another, for one exchange: of a service that takes both, and which of them this one is."""
        made = Match(self, self.matcher, self.host, self.service, self.route, self.forwarded)
        made.is_websocket = is_websocket
        made.is_undecided = is_undecided
        return made

    def usable_target(self) -> Target | None:
        """The one target, where there is no other and the probes have not found it down; None: ask the balancer."""
        target = self.only_target
        return None if target is None or target.is_probed_down else target


class Refusal:
    """What a request is refused by. ``fields`` are whole lines for the answer, ``closes``: the connection too."""

    __slots__ = ("closes", "code", "detail", "fields")

    def __init__(self, code: str, detail: str, fields: bytes = b"") -> None:
        self.code = code
        self.detail = detail
        self.fields = fields
        self.closes = code == "bad_request"


class Unmatched(Refusal):
    """Why a request goes nowhere. ``service`` is known from routing on."""

    __slots__ = ("service",)

    def __init__(self, code: str, detail: str, service: Service | None = None, fields: bytes = b"") -> None:
        super().__init__(code, detail, fields)
        self.service = service


def _no_service() -> Unmatched:
    return Unmatched("no_route", "no service is at this host and path")


class Matcher:
    """The router of one snapshot. What it found is kept with the lines it was asked for."""

    __slots__ = ("_count", "_router")

    def __init__(self, router: Router[Service]) -> None:
        self._router = router
        self._count = 0

    def find(self, head: RequestHead) -> Match | Unmatched:
        """Never raises: what is wrong with the path is in the answer."""
        known = head.known
        if isinstance(known, Match):
            kept: Match | None = known
            while kept is not None and kept.matcher is self:
                if kept.host == head.host:
                    return kept
                kept = kept.next
        match = self._find(head, head.method)
        if known.is_kept and isinstance(match, Match) and head.method not in COUNTED_HOPS:
            self._keep(known, match)
        return match

    def find_preflighted(self, head: RequestHead, method: bytes) -> Match | Unmatched:
        """Where the request goes that a preflight asks about."""
        return self._find(head, method)

    def _keep(self, known: MethodAndPath, match: Match) -> None:
        if self._count >= MATCHES_MAX:
            forget_found()
            self._count = 0
        elif isinstance(known, Match) and known.matcher is self and known.hosts < HOSTS_MAX:
            match.next, match.hosts = known, known.hosts + 1
        keep_found(match)
        self._count += 1

    def _find(self, head: RequestHead, method: bytes) -> Match | Unmatched:
        try:
            path = normal_path(head.path)
        except ProtocolError as error:
            return self._find_keeping(head, method, Unmatched(error.code, error.detail))
        matched = without_parameters(path)
        service = self._router.find(head.host, matched)
        if service is None:
            return _no_service()
        if service.path_form is not None:
            return self._find_in_form(head, method, service, service.path_form)
        forwarded = below_prefix(path, service.prefix_bytes) if service.strips_path else path
        return self._find_route(head, method, service, matched, forwarded)

    def _find_keeping(self, head: RequestHead, method: bytes, refused: Unmatched) -> Match | Unmatched:
        """What is refused for an escaped slash may be of a service that keeps those."""
        try:
            matched, _ = KEEPING.read(head.path)
        except ProtocolError:
            return refused
        service = self._router.find(head.host, without_parameters(matched))
        if service is None or service.path_form is None or not service.path_form.keeps_escapes:
            return refused
        return self._find_in_form(head, method, service, service.path_form)

    def _find_in_form(self, head: RequestHead, method: bytes, service: Service, form: PathForm) -> Match | Unmatched:
        """By the path as this service has it read, which has to be the service's in that form too."""
        try:
            path, forwarded = form.read(head.path)
        except ProtocolError as error:
            return Unmatched(error.code, error.detail, service)
        matched = without_parameters(path)
        if self._router.find(head.host, matched) is not service:
            return _no_service()
        if service.strips_path:
            forwarded = below_segments(forwarded, service.stripped_prefix.count(b"/"))
        return self._find_route(head, method, service, matched, forwarded)

    def _find_route(
        self, head: RequestHead, method: bytes, service: Service, matched: bytes, forwarded: bytes
    ) -> Match | Unmatched:
        below = matched[service.prefix_bytes :] or b"/"
        if service.folds_case or service.ignores_slash:
            below = rule_form(below, folds_case=service.folds_case, ignores_slash=service.ignores_slash)
        if service.routes is None:
            route = service.catch_all
        else:
            found, allowed = service.routes.find(method, below)
            if found is None:
                if not allowed:
                    return Unmatched("no_route", "the service has no such route", service)
                names = b", ".join(sorted(allowed | ({b"HEAD"} if b"GET" in allowed else set())))
                detail = "no route here takes this method"
                return Unmatched("method_not_allowed", detail, service, b"Allow: " + names + b"\r\n")
            route = found
        match = Match(head.known, self, head.host, service, route, forwarded)
        if method in COUNTED_HOPS:
            return self._within_its_hops(head, match)  # Not kept: each has to be looked at.
        return match

    @staticmethod
    def _within_its_hops(head: RequestHead, match: Match) -> Match | Unmatched:
        try:
            is_forwarded = may_go_on(head)
        except ProtocolError as error:
            return Unmatched(error.code, error.detail, match.service)
        if is_forwarded:
            return match
        # RFC 9110 7.6.2: the last recipient answers; 15.6.2: by that it implements the method for no resource.
        return Unmatched(
            "not_implemented", "Max-Forwards is 0, and the gateway has no answer of its own", match.service
        )
