"""Matches are kept, bounded, and never outlive what they stand for."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from gateway.compiled import worker_environment
from gateway.http import request_line
from gateway.http.request import RequestHead
from gateway.proxy import matching
from gateway.proxy.matching import HOSTS_MAX, Match, Matcher, Unmatched
from tests.gateway.data_plane import router_over, service


def matcher(*services: dict[str, Any]) -> Matcher:
    return Matcher(router_over(*services))


def head(method: str, target: str, host: str = "h") -> RequestHead:
    parsed = RequestHead()
    assert parsed.parse(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), 9999, 9999, 9)
    return parsed


ITEMS = service("a", 9, routes=[{"id": "get", "methods": ["GET"], "path": "/x", "limit": None}])


@pytest.mark.usefixtures("fresh_lines")
def test_a_match_is_found_once_and_kept() -> None:
    found = matcher(ITEMS)
    for _ in range(2):
        first = found.find(head("GET", "/a/x?q=1"))  # A line that came once may never come again.
    assert isinstance(first, Match)
    assert first.upstream_line == b"GET /x"
    assert found.find(head("GET", "/a/x?q=2")) is first
    assert isinstance(found.find(head("POST", "/a/x")), Unmatched)
    other = found.find(head("GET", "/a/x", host="other"))
    assert other is not first
    assert [found.find(head("GET", "/a/x", host=host)) for host in ("h", "other")] == [first, other]


def test_a_match_is_its_own_matchers() -> None:
    """After a change of routes, lines that are known lead where they lead now."""
    before, after = matcher(ITEMS), matcher(service("b", 9, path="/a"))
    matches = [made.find(head("GET", "/a/x")) for made in (before, before, before, after, after, before)]
    ids = [match.service.id for match in matches if isinstance(match, Match)]
    assert ids == ["a", "a", "a", "b", "b", "a"]


def test_services_of_many_hosts_are_told_apart_by_one_line() -> None:
    hosts = [f"h{number}.example" for number in range(2 * HOSTS_MAX)]
    found = matcher(*[service(host, 9, hosts=[host], path="/") for host in hosts])
    for host in hosts * 3:
        match = found.find(head("GET", "/same", host=host))
        assert isinstance(match, Match)
        assert match.service.id == host
        assert match.hosts <= HOSTS_MAX


def test_spellings_of_a_path_that_mean_the_same_go_the_same_way() -> None:
    found = matcher(ITEMS)
    for target in ("/a//x", "/a/./x", "/a/%78", "/b/../a/x"):
        match = found.find(head("GET", target))
        assert isinstance(match, Match), target
        assert match.upstream_line == b"GET /x"


@pytest.mark.parametrize(
    "method, target, code, fields",
    [
        ("GET", "/b", "no_route", b""),
        ("GET", "/a/y", "no_route", b""),
        ("POST", "/a/x", "method_not_allowed", b"Allow: GET, HEAD\r\n"),
        ("GET", "/a/%2f", "bad_request", b""),
        ("GET", "/../a/x", "bad_request", b""),
    ],
)
def test_what_fits_nowhere_says_why(method: str, target: str, code: str, fields: bytes) -> None:
    unmatched = matcher(ITEMS).find(head(method, target))
    assert isinstance(unmatched, Unmatched)
    assert (unmatched.code, unmatched.fields, unmatched.closes) == (code, fields, code == "bad_request")


@pytest.mark.usefixtures("fresh_lines")
def test_kept_matches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "MATCHES_MAX", 10)
    found = matcher(service("a", 9))
    for number in range(95):
        for _ in range(2):
            assert isinstance(found.find(head("GET", f"/a/{number}", host=f"h{number % 7}")), Match)
        assert 1 <= sum(isinstance(known, Match) for known in request_line._LINES.known.values()) <= 10


def test_targets_with_paths_of_their_own_get_lines_of_their_own() -> None:
    targets = [
        {"url": "http://127.0.0.1:9/one", "weight": 1, "network": "vpc"},
        {"url": "http://127.0.0.1:9/two", "weight": 1, "network": "vpc"},
    ]
    match = matcher(service("a", 9, upstream={"targets": targets})).find(head("GET", "/a/x"))
    assert isinstance(match, Match)
    assert match.upstream_line is None
    assert match.forwarded == b"/x"


RULED = [
    {"id": "item", "methods": [], "path": "/Items/{Id}", "limit": None},
    {"id": "items", "methods": [], "path": "/Items", "limit": None},
    {"id": "slashed", "methods": [], "path": "/slashed/", "limit": None},
    {"id": "rest", "methods": [], "path": "/*", "limit": None},
]
EXACT = {"path_case": "exact", "trailing_slash": "exact"}
FOLD = {"path_case": "fold"}
IGNORE = {"trailing_slash": "ignore"}


@pytest.mark.parametrize(
    "keys, path, route",
    [
        (EXACT, "/Items", "items"),
        (EXACT, "/items", "rest"),
        (EXACT, "/Items/", "rest"),
        (EXACT, "/slashed/", "slashed"),
        (EXACT, "/slashed", "rest"),
        (FOLD, "/iTEMS", "items"),
        (FOLD, "/%49tems", "items"),
        (FOLD, "/ITEMS/7", "item"),
        (FOLD, "/ITEMS/", "rest"),
        (FOLD, "/ITEMS;x", "items"),
        (IGNORE, "/Items/", "items"),
        (IGNORE, "/Items//", "items"),
        (IGNORE, "/Items/;x", "items"),
        (IGNORE, "/Items/7/", "item"),
        (IGNORE, "/slashed", "slashed"),
        (IGNORE, "/slashed/", "slashed"),
        (IGNORE, "/items/", "rest"),
        (IGNORE, "/", "rest"),
        (FOLD | IGNORE, "/ITEMS/", "items"),
    ],
)
@pytest.mark.parametrize("prefix", ["/a", "/"])
def test_rules_see_what_the_service_says_its_upstream_sees(
    keys: dict[str, str], path: str, route: str, prefix: str
) -> None:
    found = matcher(service("a", 9, **{"path": prefix, "routes": RULED, **keys}))
    match = found.find(head("GET", prefix.rstrip("/") + path))
    assert isinstance(match, Match)
    assert match.route.id == route


def test_what_goes_upstream_is_spelt_as_it_came() -> None:
    made = matcher(service("a", 9, **{"path": "/Api", "routes": RULED, **FOLD, **IGNORE}))
    match = made.find(head("GET", "/aPI/iTems/Seven/"))
    assert isinstance(match, Match)
    assert (match.upstream_line, match.route.id) == (b"GET /iTems/Seven/", "item")


@pytest.mark.skipif(os.environ.get("TOLLGATE_COMPILED") != "1", reason="it is so where it is compiled")
@pytest.mark.parametrize("name", ["matching.Match", "target.Target"])
def test_what_thousands_of_requests_touch_in_turn_takes_whole_lines_of_the_cache(name: str) -> None:
    """Else what each touches of it begins anywhere in a line, and most of them need one line more."""
    module, kind = name.split(".")
    program = f"from gateway.proxy.{module} import {kind}; print({kind}.__basicsize__)"
    done = subprocess.run(
        [sys.executable, "-c", program], env=worker_environment(), capture_output=True, text=True, check=True
    )
    size = int(done.stdout) + 16  # What the collector keeps stands before it.
    assert -(-size // 16) * 16 % 64 == 0, "blocks of memory are multiples of 16 bytes, one after another"


@pytest.mark.parametrize(
    "target, route",
    [
        ("/A/accounts/AC1.JSON", "json"),
        ("/a/ACCOUNTS/AC1.json/", "json"),
        ("/a/accounts/AC1;v=1.json", "one"),
        ("/a/accounts/AC1.json;v=1", "json"),
        ("/a/accounts/%41C1%2Ejson", "json"),
        ("/a/accounts/AC1:Cancel", "cancel"),
        ("/a/accounts/AC1/x/y:CANCEL", "deep"),
        ("/a/accounts/AC1/x", None),
        ("/a/files/x/y", "files"),
        ("/a/files/", None),
        ("/a/files", None),
    ],
)
def test_templates_hold_as_the_service_tells_paths_apart(target: str, route: str | None) -> None:
    paths = {
        "json": "/Accounts/{Sid}.json",
        "cancel": "/Accounts/{Sid}:Cancel",
        "one": "/Accounts/{Sid}",
        "deep": "/Accounts/{Sid}/*:Cancel",
        "files": "/Files/{Path+}",
    }
    routes = [{"id": id, "methods": [], "path": path, "limit": None} for id, path in paths.items()]
    found = matcher(service("a", 9, routes=routes, path_case="fold", trailing_slash="ignore")).find(head("GET", target))
    assert (found.route.id if isinstance(found, Match) else None) == route


@pytest.mark.parametrize("host", ["orders_api:8080", "[::1]:8080", "[::1]", "ORDERS_API.", "a.svc_x.local"])
def test_hosts_with_underscores_and_addresses_are_hosts(host: str) -> None:
    made = matcher(service("a", 9, hosts=["orders_api", "[::1]", "*.svc_x.local"]))
    assert isinstance(made.find(head("GET", "/a", host=host)), Match)
    assert isinstance(made.find(head("GET", "/a", host="other")), Unmatched)
