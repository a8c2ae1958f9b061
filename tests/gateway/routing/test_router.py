"""Host, prefix and route matching by the order of DESIGN 1.2 and 1.7."""

import re
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.router import Router, RouteTree


@dataclass(frozen=True)
class FakeRoute:
    path: bytes
    methods: frozenset[bytes] = frozenset()


def router() -> Router[str]:
    made: Router[str] = Router()
    made.add([], b"/orders", "orders")
    made.add([], b"/orders/v2", "orders-v2")
    made.add([b"api.example.com"], b"/orders", "exact")
    made.add([b"*.example.com"], b"/orders", "wild")
    made.add([b"*.example.com"], b"/wild-only", "wild-only")
    made.add([b"root.example.com"], b"/", "root")
    return made


@pytest.mark.parametrize(
    "path, service",
    [
        (b"/API", "folding"),
        (b"/api/x", "folding"),
        (b"/Api/V2/x", "folding-v2"),
        (b"/api/exact/x", "exact"),
        (b"/API/Exact/x", "folding"),
        (b"/aPi/v2", "spelt"),
        (b"/apis", "root"),
        (b"/", "root"),
    ],
)
def test_a_folded_prefix_matches_in_any_case_and_the_longest_wins(path: bytes, service: str) -> None:
    made: Router[str] = Router()
    made.add([], b"/", "root")
    made.add([], b"/Api", "folding", folds_case=True)
    made.add([], b"/api/v2", "folding-v2", folds_case=True)
    made.add([], b"/api/exact", "exact")
    made.add([], b"/aPi/v2", "spelt")
    assert made.find(b"x", path) == service


@pytest.mark.parametrize(
    "host, path, service",
    [
        (b"x", b"/orders", "orders"),
        (b"x", b"/orders/1", "orders"),
        (b"x", b"/ordersX", None),
        (b"x", b"/orders/v2/1", "orders-v2"),
        (b"x", b"/orders/v22", "orders"),
        (b"x", b"/", None),
        (b"api.example.com", b"/orders/v2", "exact"),
        (b"API.example.com:8080", b"/orders", "exact"),
        (b"api.example.com.", b"/orders", "exact"),
        (b"api.example.com", b"/wild-only", "wild-only"),
        (b"a.b.example.com", b"/orders", "wild"),
        (b"example.com", b"/orders", "orders"),
        (b"root.example.com", b"/anything", "root"),
        (b"", b"/orders", "orders"),
    ],
)
def test_the_most_exact_host_then_the_longest_prefix_wins(host: bytes, path: bytes, service: str | None) -> None:
    assert router().find(host, path) == service


GET, PUT = frozenset([b"GET"]), frozenset([b"PUT"])
TREE = RouteTree(
    lambda: [
        FakeRoute(b"/items", GET),
        FakeRoute(b"/items/{id}", GET | PUT),
        FakeRoute(b"/items/special", GET),
        FakeRoute(b"/items/{id}/parts/*", GET),
        FakeRoute(b"/any/*"),
        FakeRoute(b"/"),
    ],
    lambda route: route,
)


@pytest.mark.parametrize(
    "method, path, found",
    [
        (b"GET", b"/items", b"/items"),
        (b"HEAD", b"/items", b"/items"),
        (b"GET", b"/items/7", b"/items/{id}"),
        (b"GET", b"/items/special", b"/items/special"),
        (b"PUT", b"/items/special", b"/items/{id}"),
        (b"GET", b"/items/7/parts/a/b", b"/items/{id}/parts/*"),
        (b"DELETE", b"/any/x", b"/any/*"),
        (b"GET", b"/", b"/"),
        (b"GET", b"/items/7/other", None),
        (b"GET", b"/items/", None),
    ],
)
def test_the_most_literal_route_that_takes_the_method_wins(method: bytes, path: bytes, found: bytes | None) -> None:
    route, allowed = TREE.find(method, path)
    assert (route.path if route else None) == found
    if found is None:
        assert not allowed


def test_405_names_the_methods_that_would_do() -> None:
    route, allowed = TREE.find(b"DELETE", b"/items/special")
    assert route is None
    assert allowed == {b"GET", b"PUT"}


def _rank(route: FakeRoute, path: bytes) -> tuple[Any, ...] | None:
    """How literal the route is where it fits, segment by segment; less is more. None: it does not fit."""
    rank: list[tuple[Any, ...]] = []
    wanted, given_ = route.path.split(b"/")[1:], path.split(b"/")[1:]
    for at, segment in enumerate(wanted):
        if segment == b"*":
            return (*rank, (4,))
        if at == len(given_):
            return None
        if segment == b"{x+}" or segment[:1] == b"*":
            end = b"" if segment == b"{x+}" else segment[1:]
            return (*rank, (3, -len(end))) if given_[at] and given_[-1].endswith(end) else None
        if segment == b"{x}":
            if not given_[at]:
                return None
            rank.append((2,))
        elif b"{" in segment:
            # By the definition: each parameter is some text, as in a regular expression.
            pieces = re.split(rb"\{[^}]*\}", segment)
            pattern = b".+".join(map(re.escape, pieces))
            if not re.fullmatch(pattern, given_[at], re.DOTALL):
                return None
            rank.append((1, -len(b"".join(pieces)), -len(pieces[0]), tuple(pieces)))
        elif segment == given_[at]:
            rank.append((0,))
        else:
            return None
    return tuple(rank) if len(wanted) == len(given_) else None


_METHODS = st.frozensets(st.sampled_from([b"GET", b"POST"]), max_size=2)
_SEGMENTS = st.sampled_from([b"a", b"b", b"", b"a*", b"{x}", b"{x}b", b"a{x}b", b"{x}b{y}", b"a{x}"])
_PATHS = st.builds(
    lambda segments, rest: b"/" + b"/".join(segments) + rest,
    st.lists(_SEGMENTS, min_size=1, max_size=3),
    st.sampled_from([b"", b"/*", b"/{x+}", b"/*b", b"/*ab"]),
)


@given(
    st.lists(st.builds(FakeRoute, _PATHS, _METHODS), max_size=8),
    st.lists(st.sampled_from([b"a", b"b", b"", b"a*", b"c", b"ab", b"aab", b"abb", b"bab"]), min_size=1, max_size=4),
    st.sampled_from([b"GET", b"POST", b"HEAD"]),
)
def test_any_table_is_searched_as_if_each_route_were_looked_at(
    routes: list[FakeRoute], segments: list[bytes], method: bytes
) -> None:
    path = b"/" + b"/".join(segments)
    ranks = {at: rank for at, route in enumerate(routes) if (rank := _rank(route, path)) is not None}
    wanted = {method, b"GET"} if method == b"HEAD" else {method}
    # Of those of one path, one that names the method comes before one that takes all.
    taking = {
        at: (rank, not routes[at].methods, at)
        for at, rank in ranks.items()
        if not routes[at].methods or routes[at].methods & wanted
    }
    found, allowed = RouteTree(lambda: routes, lambda route: route).find(method, path)
    if taking:
        assert found == routes[min(taking, key=lambda at: taking[at])]
    else:
        assert found is None
        assert allowed == frozenset().union(*(routes[at].methods for at in ranks))
