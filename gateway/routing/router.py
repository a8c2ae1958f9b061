"""Host, then prefix, then route (DESIGN 1.2, 1.7 "Routing"). Built once for a snapshot, never changed."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from gateway.routing.segment import SegmentPattern


class Matchable(Protocol):
    """What the router needs of a route. ``methods`` empty means all; ``path`` is below the service's path.

    In it `{name}` is a segment or a part of one; at its end `{name+}` is one segment or more, `*` all the rest, and
    `*:verb` all the rest that ends so (config/paths.py).
    """

    @property
    def methods(self) -> frozenset[bytes]: ...
    @property
    def path(self) -> bytes: ...


_NO_METHODS: frozenset[bytes] = frozenset()
D = TypeVar("D")  # a route as it is read
S = TypeVar("S")
R = TypeVar("R", bound=Matchable)


class _Node(Generic[R]):
    """One place in the tree of a service's route paths that are not literal: a segment further at each step."""

    __slots__ = ("literals", "parameter", "patterns", "rest", "routes", "tails")

    def __init__(self) -> None:
        self.literals: dict[bytes, _Node[R]] = {}
        self.patterns: list[tuple[SegmentPattern, _Node[R]]] = []  # by their order
        self.parameter: _Node[R] | None = None
        self.tails: list[tuple[bytes, tuple[R, ...]]] = []  # that take the rest if it ends so; the longest end first
        self.rest: tuple[R, ...] = ()  # routes with a final `*` here
        self.routes: tuple[R, ...] = ()  # routes that end here


class RouteTree(Generic[R]):
    """The routes of one service, read when first asked for: of 200,000 in a snapshot few may ever be."""

    __slots__ = ("_literal", "_make", "_root", "read")

    def __init__(self, read: Callable[[], Iterable[D]], make: Callable[[D], R]) -> None:
        self.read: Callable[[], Iterable[Any]] = read
        self._make: Callable[[Any], R] = make
        self._root: _Node[R] | None = None  # routes with a parameter, or a final `*`
        self._literal: dict[bytes, tuple[R, ...]] = {}  # all others, by their paths

    @property
    def is_grown(self) -> bool:
        """Whether the routes have been read; ``read`` may be replaced until then."""
        return self._root is not None

    def grow(self) -> _Node[R]:
        """Reads the routes now: 1 ms for 100 of them."""
        root: _Node[R] = _Node()
        literal: dict[bytes, tuple[R, ...]] = {}
        for item in self.read():
            route = self._make(item)
            if b"*" in route.path or b"{" in route.path:
                _add(root, route)
            else:
                literal[route.path] = (*literal.get(route.path, ()), route)
        self._root, self._literal = root, literal
        self.read = _nothing  # Lets go of where they were read from.
        return root

    def find(self, method: bytes, path: bytes) -> tuple[R | None, frozenset[bytes]]:
        """The most literal route that fits and takes the method, else None and the methods that would do.

        From the first segment on a literal one beats one that is literal in part, that one a parameter, and that one
        the rest of the path. Each place of the tree is looked at once at most.

        No methods: no route's path fits (404). HEAD goes where GET goes.
        """
        root = self._root or self.grow()
        allowed: set[bytes] = set()
        # No route is more literal than one that is spelt like the path.
        literal = self._literal.get(path)
        found = None if literal is None else _taking(literal, method, allowed)
        if found is None:
            if root.literals or root.patterns or root.parameter is not None or root.tails:
                found = self._walk(root, path.split(b"/")[1:], 0, method, allowed)
            else:
                found = _taking(root.rest, method, allowed)  # Only catch-alls: no walk.
        return (found, _NO_METHODS) if found is not None else (None, frozenset(allowed))

    def _walk(self, node: _Node[R], segments: list[bytes], at: int, method: bytes, allowed: set[bytes]) -> R | None:
        if at == len(segments):
            found = _taking(node.routes, method, allowed)
            return found if found is not None else _taking(node.rest, method, allowed)
        segment = segments[at]
        literal = node.literals.get(segment)
        if literal is not None:
            found = self._walk(literal, segments, at + 1, method, allowed)
            if found is not None:
                return found
        for pattern, child in node.patterns:
            if pattern.fits(segment):
                found = self._walk(child, segments, at + 1, method, allowed)
                if found is not None:
                    return found
        if node.parameter is not None and segment:
            found = self._walk(node.parameter, segments, at + 1, method, allowed)
            if found is not None:
                return found
        for end, routes in node.tails:
            if segment and segments[-1].endswith(end):
                found = _taking(routes, method, allowed)
                if found is not None:
                    return found
        return _taking(node.rest, method, allowed)


def _nothing() -> tuple[()]:
    return ()


def _add(root: _Node[R], route: R) -> None:
    node = root
    segments = route.path.split(b"/")[1:]
    for at, segment in enumerate(segments):
        if segment == b"*":
            node.rest += (route,)
            return
        if at == len(segments) - 1 and (segment[:1] == b"*" or segment[-2:] == b"+}"):
            _add_tail(node, segment[1:] if segment[:1] == b"*" else b"", route)
            return
        if segment[:1] == b"{" and segment.find(b"}") == len(segment) - 1:
            if node.parameter is None:
                node.parameter = _Node()
            node = node.parameter
        elif b"{" in segment:
            node = _pattern_child(node, SegmentPattern(segment))
        else:
            child = node.literals.get(segment)
            if child is None:
                child = node.literals[segment] = _Node()
            node = child
    node.routes += (route,)


def _pattern_child(node: _Node[R], pattern: SegmentPattern) -> _Node[R]:
    for known, child in node.patterns:
        if known.pieces == pattern.pieces:
            return child
    made: _Node[R] = _Node()
    insort(node.patterns, (pattern, made), key=lambda item: item[0].order)
    return made


def _add_tail(node: _Node[R], end: bytes, route: R) -> None:
    for at, (known, routes) in enumerate(node.tails):
        if known == end:
            node.tails[at] = (known, (*routes, route))
            return
    insort(node.tails, (end, (route,)), key=lambda item: -len(item[0]))


def _taking(routes: Sequence[R], method: bytes, allowed: set[bytes]) -> R | None:
    anyway = None
    for route in routes:
        if method in route.methods or (method == b"HEAD" and b"GET" in route.methods):
            return route
        if not route.methods:
            anyway = route
        allowed.update(route.methods)
    return anyway


class _HostTable(Generic[S]):
    """The services of one host, found by their first path segment, longest prefix first."""

    __slots__ = ("_by_segment", "_folded", "_root")

    def __init__(self) -> None:
        self._by_segment: dict[bytes, list[tuple[bytes, S]]] = {}
        self._folded: dict[bytes, list[tuple[bytes, S]]] = {}  # the same in lower case, of services that fold it
        self._root: S | None = None

    def add(self, prefix: bytes, service: S, folds_case: bool) -> None:
        if prefix == b"/":
            self._root = service
            return
        if folds_case:
            prefix = prefix.lower()
        segment = prefix[1:].partition(b"/")[0]
        services = (self._folded if folds_case else self._by_segment).setdefault(segment, [])
        insort(services, (prefix, service), key=lambda item: -len(item[0]))  # Sorting each time is quadratic.

    def find(self, path: bytes) -> S | None:
        """The longest prefix; of two as long, the one that is spelt like the path."""
        found = _longest(self._by_segment, path)
        if self._folded:
            folded = _longest(self._folded, path.lower())
            if folded is not None and (found is None or len(folded[0]) > len(found[0])):
                found = folded
        return self._root if found is None else found[1]


def _longest(by_segment: dict[bytes, list[tuple[bytes, S]]], path: bytes) -> tuple[bytes, S] | None:
    end = path.find(b"/", 1)
    for item in by_segment.get(path[1:end] if end > 0 else path[1:], ()):
        prefix = item[0]
        if path == prefix or (path.startswith(prefix) and path[len(prefix)] == 0x2F):
            return item
    return None


class Router(Generic[S]):
    """Finds the service: an exact host beats a wildcard, a host beats none, then the longest prefix wins."""

    __slots__ = ("_any_host", "_exact", "_wildcards")

    def __init__(self) -> None:
        self._exact: dict[bytes, _HostTable[S]] = {}
        self._wildcards: dict[bytes, _HostTable[S]] = {}  # b".example.com": for *.example.com
        self._any_host: _HostTable[S] = _HostTable()

    def add(self, hosts: Sequence[bytes], prefix: bytes, service: S, *, folds_case: bool = False) -> None:
        """``hosts`` as configured; none is any host. ``prefix`` starts with a slash and ends with none."""
        if not hosts:
            self._any_host.add(prefix, service, folds_case)
        for host in hosts:
            host = host.lower()
            if host.startswith(b"*."):
                self._wildcards.setdefault(host[1:], _HostTable()).add(prefix, service, folds_case)
            else:
                self._exact.setdefault(host, _HostTable()).add(prefix, service, folds_case)

    def find(self, host: bytes, path: bytes) -> S | None:
        """``host`` is the Host field's value, with or without a port; ``path`` in normal form."""
        if self._exact or self._wildcards:
            name = _without_port(host).lower().rstrip(b".")
            table = self._exact.get(name)
            if table is not None:
                service = table.find(path)
                if service is not None:
                    return service
            if self._wildcards:
                # `*.example.com` covers one label or more; the longest suffix is the most exact.
                at = name.find(b".", 1)
                while at > 0:
                    table = self._wildcards.get(name[at:])
                    if table is not None:
                        service = table.find(path)
                        if service is not None:
                            return service
                    at = name.find(b".", at + 1)
        return self._any_host.find(path)


def _without_port(host: bytes) -> bytes:
    if host[:1] == b"[":
        return host.partition(b"]")[0] + b"]"
    return host.partition(b":")[0]
