"""Host, prefix and route matching by the order of DESIGN 1.2 and 1.7."""

from dataclasses import dataclass

import pytest

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
