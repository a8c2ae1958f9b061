"""Services whose paths are read otherwise: escaped slashes that stay, double slashes that stay, no escapes at all."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import unquote

import pytest

from gateway.http.request import RequestHead
from gateway.proxy.matching import Match, Matcher, Unmatched
from tests.gateway.data_plane import router_over, service

ROUTES = [
    {"id": "project", "methods": ["GET"], "path": "/projects/{id}", "limit": None},
    {"id": "file", "methods": ["GET"], "path": "/projects/{id}/files/{name}", "limit": None},
    {"id": "admin", "methods": ["PUT"], "path": "/admin", "limit": None},
    {"id": "double", "methods": ["GET"], "path": "/admin/x", "limit": None},
    {"id": "rest", "methods": ["GET"], "path": "/*", "limit": None},
]
KEEP = {"path_escapes": "keep"}
UNMERGED = {"merge_slashes": False}


def find(path: str, *services: dict[str, Any]) -> Match | Unmatched:
    head = RequestHead()
    text = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert head.parse(text, 1 << 15, 1 << 13, 128) == len(text)
    return Matcher(router_over(*services)).find(head)


def service_at(path: str = "/api", **changes: Any) -> dict[str, Any]:
    return service("api", 9, **({"path": path, "routes": ROUTES} | changes))


@pytest.mark.parametrize(
    "path, route, sent",
    [
        ("/api/projects/group%2Fname", "project", "/projects/group%2Fname"),
        ("/api/projects/group%2fname", "project", "/projects/group%2fname"),
        ("/api/projects/a%2Fb%2Fc/files/d%2Fe", "file", "/projects/a%2Fb%2Fc/files/d%2Fe"),
        ("/api/projects/%2F", "project", "/projects/%2F"),
        ("/api/projects/a%5Cb", "project", "/projects/a%5Cb"),
        ("/api/projects/%61", "project", "/projects/%61"),
        ("/api//projects/./a%2Fb/../c%2Fd", "project", "/projects/c%2Fd"),
        ("/api/projects/a%2Fb;v=1", "project", "/projects/a%2Fb;v=1"),
        ("/%61pi/projects/a%2Fb", "project", "/projects/a%2Fb"),
        ("/api/admin%2Fx", "rest", "/admin%2Fx"),
        ("/api/x/%2e%2e/projects/a", "project", "/projects/a"),
        ("/api/projects/caf%c3%a9", "project", "/projects/caf%c3%a9"),
    ],
)
def test_escaped_slashes_stay_and_are_none_to_rules(path: str, route: str, sent: str) -> None:
    """GitLab's projects, Argo CD's repositories, RabbitMQ's vhosts."""
    found = find(path, service_at(**KEEP))
    assert isinstance(found, Match)
    assert (found.route.id, found.forwarded.decode()) == (route, sent)


def test_a_prefix_that_is_not_stripped_goes_on_as_it_came() -> None:
    found = find("/api/projects/a%2Fb", service_at(**KEEP, strip_path=False, routes=[]))
    assert isinstance(found, Match)
    assert found.forwarded == b"/api/projects/a%2Fb"


@pytest.mark.parametrize(
    "path",
    [
        "/api/..%2Fadmin",
        "/api/%2e%2e%2Fadmin",
        "/api/x%2F..%2Fadmin",
        "/api/x%2f%2E%2e",
        "/api/.%2Fadmin",
        "/api/x%5C..%5Cadmin",
        "/api/x%2F..;v=1%2Fadmin",
        "/api/%00",
        "/api/%0d%0a",
        "/api/%c0%af",
        "/api/a%",
        "/api/..;/x",
        "/api/../../x",
    ],
)
def test_what_hides_anything_else_is_refused_all_the_same(path: str) -> None:
    found = find(path, service_at(**KEEP), service("root", 9, path="/"))
    assert isinstance(found, Unmatched)
    assert (found.code, found.closes) == ("bad_request", True)


def test_of_other_services_they_are_refused_as_ever() -> None:
    for services in ([service_at()], [service_at(), service("root", 9, path="/", **KEEP)]):
        found = find("/api/projects/a%2Fb", *services)
        assert isinstance(found, Unmatched)
        assert found.code == "bad_request"


def test_an_escaped_slash_is_no_end_of_a_prefix() -> None:
    """`/api%2Fx` is one segment: the service at `/api` has no claim to it, whoever keeps escapes."""
    found = find("/api%2Fx", service_at(**KEEP), service("root", 9, path="/", **KEEP))
    assert isinstance(found, Match)
    assert found.service.id == "root"
    assert isinstance(find("/api%2Fx", service_at(**KEEP)), Unmatched)


@pytest.mark.parametrize(
    "path, route, sent",
    [
        ("/api/admin//x", "rest", "/admin//x"),
        ("/api//admin/x", "rest", "//admin/x"),
        ("/api/admin/x", "double", "/admin/x"),
        ("/api/a//", "rest", "/a//"),
        ("/api/a//../x", "rest", "/a/x"),
        ("/api/a//%2e/x", "rest", "/a//x"),
    ],
)
def test_double_slashes_stay_where_they_are_not_merged(path: str, route: str, sent: str) -> None:
    found = find(path, service_at(**UNMERGED))
    assert isinstance(found, Match)
    assert (found.route.id, found.forwarded.decode()) == (route, sent)


def test_both_at_once() -> None:
    found = find("/api/projects//a%2Fb", service_at(**KEEP, **UNMERGED))
    assert isinstance(found, Match)
    assert found.forwarded == b"/projects//a%2Fb"


def test_no_reading_leads_past_the_service_whose_path_it_is() -> None:
    """What one form finds another's service for is nobody's: else a public service led into one with keys."""
    public = service("public", 9, path="/", **UNMERGED)
    private = service("private", 9, path="/private")
    for path in ("/x/..//private/a", "/private//../private/a", "//private/a", "/private/a"):
        found = find(path, public, private)
        assert not (isinstance(found, Match) and found.service.id == "public" and b"/private/a" in found.forwarded[:10])
    found = find("/private//../x", public, private)  # `/x` where slashes merge, `/private/x` where they do not
    assert isinstance(found, Unmatched)
    assert found.code == "no_route"


@pytest.mark.parametrize("path", ["/api/a%20b", "/api/%41", "/api/%2F", "/api/%zz"])
def test_no_escapes_where_they_are_refused(path: str) -> None:
    found = find(path, service_at(path_escapes="refuse"))
    assert isinstance(found, Unmatched)
    assert found.code == "bad_request"
    plain = find("/api/projects/a;v=1", service_at(path_escapes="refuse"))
    assert isinstance(plain, Match)


def test_the_whole_server_is_below_no_path() -> None:
    head = RequestHead()
    text = b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"
    head.parse(text, 1 << 15, 1 << 13, 128)
    found = Matcher(router_over(service("api", 9, path="/", **KEEP, strip_path=False))).find(head)
    assert isinstance(found, (Match, Unmatched))


def test_rules_are_matched_on_what_the_upstream_sees() -> None:
    """Every path of some pieces, in every form: an upstream that routes before it decodes sees the rule's segments."""
    pieces = ("a", "%2F", "%2f", "..", ".", "%2e", "/", "//", ";x", "%61")
    for form in (KEEP, UNMERGED, {**KEEP, **UNMERGED}):
        made = Matcher(router_over(service("api", 9, path="/api", **form)))
        for count in range(1, 5):
            for some in itertools.product(pieces, repeat=count):
                head = RequestHead()
                text = f"GET /api/{''.join(some)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
                head.parse(text, 1 << 15, 1 << 13, 128)
                found = made.find(head)
                if isinstance(found, Unmatched):
                    continue
                segments = found.forwarded.decode()[1:].split("/")
                assert not {".", ".."} & {unquote(segment).partition(";")[0] for segment in segments}, text
                for segment in segments:
                    assert not {".", ".."} & set(unquote(segment).partition(";")[0].split("/")), text
                if form.get("merge_slashes", True):
                    assert "//" not in found.forwarded.decode(), text
