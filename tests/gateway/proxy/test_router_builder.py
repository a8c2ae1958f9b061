"""What is kept over snapshots, what is made anew, and what is not read until it is asked for."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.limits.limit import Limit
from gateway.limits.table import LimitTable
from gateway.proxy.router_builder import RouterBuilder
from gateway.proxy.service import Service
from gateway.proxy.target_book import TargetBook
from gateway.routing.router import Router, RouteTree
from gateway.snapshot_file import Piece, SnapshotFile, encode
from tests.gateway.data_plane import instance, no_quotas, service

LIMIT = {"slot": 5, "qps": 1000}
ROUTES = [
    {"id": "list", "methods": ["GET"], "path": "/items", "limit": LIMIT},
    {"id": "rest", "methods": [], "path": "/*", "limit": None},
]
Apply = Callable[..., Router[Service]]


@pytest.fixture
def book() -> TargetBook:
    return TargetBook(lambda *_: None)


@pytest.fixture
def builder(tmp_path: Path, book: TargetBook) -> RouterBuilder:
    table = LimitTable.create(tmp_path / "pool.lim")
    return RouterBuilder(table, 1, lambda *key: hash(key), book, no_quotas())


@pytest.fixture
def apply(builder: RouterBuilder, tmp_path: Path) -> Apply:
    """Builds a router over these services, as a worker does."""
    versions: list[int] = []

    def apply(*services: dict[str, Any], one: dict[str, Any] | None = None, burst_ms: int = 100) -> Router[Service]:
        versions.append(1)
        path = tmp_path / f"{len(versions)}.json"
        path.write_bytes(encode(len(versions), burst_ms, {"one": one or instance()}, map(Piece.of, services)))
        file = SnapshotFile(path)
        path.unlink()
        steps = builder.build(file)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                for _ in builder.discard():
                    pass
                router: Router[Service] = end.value
                return router

    return apply


def found(router: Router[Service], path: bytes) -> Service:
    service = router.find(b"x", path)
    assert service is not None
    return service


def test_only_what_changed_is_made_anew(builder: RouterBuilder, apply: Apply) -> None:
    first = apply(service("a", 1), service("b", 2), service("c", 3))
    made = builder.services_made
    second = apply(service("a", 1), service("b", 9), service("d", 4))
    assert builder.services_made - made == 2
    assert found(second, b"/a") is found(first, b"/a")
    assert found(second, b"/b") is not found(first, b"/b")
    assert second.find(b"x", b"/c") is None


def test_rows_are_of_what_is_served_and_of_what_is_being_made(
    builder: RouterBuilder, apply: Apply, tmp_path: Path
) -> None:
    """What is not among them may be given to others when the hour turns."""
    first = apply(service("a", 1), service("b", 2))
    assert builder.rows == {found(first, path).row for path in (b"/a", b"/b")}
    second = apply(service("a", 1), service("c", 3))
    served = {found(second, path).row for path in (b"/a", b"/c")}
    assert builder.rows == served
    path = tmp_path / "next.json"
    path.write_bytes(encode(9, 100, {"one": instance()}, map(Piece.of, (service("d", 4), service("e", 5)))))
    steps = builder.build(SnapshotFile(path))
    next(steps)
    assert builder.rows > served, "until the build is done, requests come for what there was"
    assert len(builder.rows) == 3
    assert list(steps) == [None], "one more"
    assert builder.rows & served == set()
    assert len(builder.rows) == 2


def test_a_target_that_stays_keeps_its_connections_and_a_changed_one_does_not(apply: Apply) -> None:
    """Its health, too."""
    before = found(apply(service("a", 1)), b"/a").targets.targets[0]
    assert found(apply(service("a", 1, strip_path=False)), b"/a").targets.targets[0] is before
    inside = service("a", 1)
    inside["upstream"]["targets"] = [{**inside["upstream"]["targets"][0], "network": "internet"}]
    outside = found(apply(inside), b"/a").targets.targets[0]
    assert outside is not before
    assert outside.pool.egress_offset != before.pool.egress_offset
    assert outside.pool is not before.pool


def test_a_kept_service_keeps_its_group_and_one_that_went_has_none(apply: Apply) -> None:
    router = apply(service("a", 1), service("b", 2))
    kept, gone = (found(router, path).targets for path in (b"/a", b"/b"))
    assert found(apply(service("a", 1)), b"/a").targets is kept
    assert [kept.targets[0].group, gone.targets[0].group] == [kept, None]
    assert (kept.targets[0].pool.is_retired, gone.targets[0].pool.is_retired) == (False, True)


def test_a_service_is_made_anew_when_a_file_of_its_tls_settings_changed(apply: Apply, tmp_path: Path) -> None:
    """The snapshot names the file, and is the same."""
    authorities = tmp_path / "ca.pem"
    authorities.write_text("none yet")
    secure = service("a", 1)
    secure["upstream"] |= {
        "targets": [{"url": "https://127.0.0.1:1", "weight": 1, "network": "vpc"}],
        "tls": secure["upstream"]["tls"] | {"ca": str(authorities)},
    }
    first = found(apply(secure), b"/a")
    assert found(apply(secure), b"/a") is first
    authorities.write_text("another, no better")
    assert found(apply(secure), b"/a") is not first


def test_an_account_that_is_suspended_is_so_at_the_swap_and_nothing_is_made_anew(
    builder: RouterBuilder, apply: Apply
) -> None:
    first = found(apply(service("a", 1)), b"/a")
    made = builder.services_made
    second = found(apply(service("a", 1), one=instance(serving=False)), b"/a")
    assert second is first
    assert not second.instance.is_serving
    assert second.has_checks
    assert not found(apply(service("a", 1)), b"/a").has_checks
    assert builder.services_made == made


def test_another_instance_limit_or_burst_reaches_every_service(apply: Apply) -> None:
    first = found(apply(service("a", 1), one=instance(limit={"slot": 0, "qps": 100})), b"/a")
    second = found(apply(service("a", 1), one=instance(limit={"slot": 0, "qps": 50})), b"/a")
    assert [one.catch_all.enforced.limits[0].qps for one in (first, second)] == [100, 50]
    third = found(apply(service("a", 1), one=instance(limit={"slot": 0, "qps": 50}), burst_ms=900), b"/a")
    assert third.catch_all.enforced.limits[0].tolerance_ns > second.catch_all.enforced.limits[0].tolerance_ns


def test_routes_are_read_at_the_first_request_also_after_other_snapshots(apply: Apply) -> None:
    for port in (1, 2):  # The file of the first is unlinked and let go of.
        router = apply(service("a", 1, routes=ROUTES), service("b", port))
    tree = found(router, b"/a").routes
    assert tree is not None
    assert not tree.is_grown
    route, _ = tree.find(b"GET", b"/items")
    assert route is not None
    assert route.id == "list"
    assert tree.is_grown


def test_routes_in_use_are_read_with_the_change_and_keep_their_lease(apply: Apply) -> None:
    tree = found(apply(service("a", 1, routes=ROUTES)), b"/a").routes
    assert tree is not None
    route = tree.find(b"GET", b"/items")[0]
    assert route is not None
    assert route.enforced.admit(10**9) is None
    left = route.enforced.limits[0].left
    del route, tree
    changed = found(apply(service("a", 2, routes=ROUTES)), b"/a").routes
    assert changed is not None
    assert changed.is_grown
    after = changed.find(b"GET", b"/items")[0]
    assert after is not None
    assert left > 0
    assert after.enforced.limits[0].left == left


def test_a_target_that_probes_found_down_is_down_in_the_next_snapshot(book: TargetBook, apply: Apply) -> None:
    apply(service("a", 1))
    book.set_down({("a", "http://127.0.0.1:1"), ("b", "http://127.0.0.1:2")})
    router = apply(service("a", 1), service("b", 2), service("c", 3))
    assert [found(router, path).targets.targets[0].is_probed_down for path in (b"/a", b"/b", b"/c")] == [
        True,
        True,
        False,
    ]
    book.set_down(set())
    assert not found(router, b"/a").targets.targets[0].is_probed_down


def test_what_cannot_be_built_changes_nothing(builder: RouterBuilder, apply: Apply) -> None:
    first = found(apply(service("a", 1)), b"/a")
    with pytest.raises(KeyError):
        apply(service("b", 2), service("c", 3, instance="unknown"), one=instance(serving=False))
    assert first.instance.is_serving
    made = builder.services_made
    assert found(apply(service("a", 1)), b"/a") is first
    assert builder.services_made == made


def test_what_was_replaced_is_let_go_of_without_the_collector(apply: Apply) -> None:
    """A service held by a cycle would keep its snapshot file mapped until a full collection, which is rare."""
    kinds = (Service, RouteTree, Limit, SnapshotFile)

    def held() -> list[object]:
        return [one for one in gc.get_objects() if isinstance(one, kinds) and id(one) not in before]

    gc.collect()
    before = {id(one) for one in gc.get_objects() if isinstance(one, kinds)}
    gc.disable()
    try:
        router = apply(service("a", 1, routes=ROUTES), service("b", 1, routes=ROUTES))
        tree = found(router, b"/a").routes
        assert tree is not None
        tree.find(b"GET", b"/items")
        assert len(held()) > 5
        del router, tree
        apply()
        assert held() == []
    finally:
        gc.enable()
