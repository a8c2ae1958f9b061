"""What has to hold between the routes of a service: each is reached by some request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from config.errors import Fault
from config.paths import shape
from config.schema import Route, ServiceSettings

# Segments that are in part literal are tried one after the other, where a request has come to their place.
PATTERNS_MAX: Final = 256


def check_routes(service: ServiceSettings, dot: str) -> Iterator[Fault]:
    """``dot``: what stands before the paths of faults."""
    ids: set[str] = set()
    taken: dict[tuple[str, str], str] = {}
    patterns: dict[str, set[str]] = {}
    for index, route in enumerate(service.routes):
        at = f"{dot}routes[{index}]"
        if route.id in ids:
            yield Fault(f"{at}.id", f"{route.id} stands twice")
        ids.add(route.id)
        yield from _unreached(service, route, at, taken)
        yield from _patterns(route, at, patterns)


def _patterns(route: Route, at: str, patterns: dict[str, set[str]]) -> Iterator[Fault]:
    """``patterns``: by what stands before them, those of the routes before; this one's join them."""
    if "{" not in route.path:
        return
    segments = shape(route.path).split("/")
    for depth, segment in enumerate(segments):
        if "{}" not in segment or segment == "{}":
            continue
        siblings = patterns.setdefault("/".join(segments[:depth]), set())
        if segment not in siblings and len(siblings) == PATTERNS_MAX:
            yield Fault(f"{at}.path", f"takes more than {PATTERNS_MAX} segments that are in part literal at one place")
        siblings.add(segment)


def _unreached(service: ServiceSettings, route: Route, at: str, taken: dict[tuple[str, str], str]) -> Iterator[Fault]:
    """``taken``: the routes before, by method and shape; this one joins them."""
    if service.protocol == "websocket" and route.methods and "GET" not in route.methods:
        yield Fault(f"{at}.methods", "a WebSocket is opened with GET, and with no other method")
    form = _form(service, route.path)
    for method in route.methods or ("*",):
        if (method, form) in taken:
            yield Fault(f"{at}.path", f"the same method and path as route {taken[method, form]}")
            break
        if method == "HEAD" and ("GET", form) in taken:
            other = taken["GET", form]
            yield Fault(f"{at}.methods", f"HEAD goes where GET goes, to route {other}: put this one before it")
            break
    for method in route.methods or ("*",):
        taken.setdefault((method, form), route.id)


def _form(service: ServiceSettings, path: str) -> str:
    """As the service tells paths apart."""
    path = shape(path)
    if service.path_case == "fold":
        path = path.lower()
    if service.trailing_slash == "ignore" and len(path) > 1:
        path = path.removesuffix("/")
    return path
