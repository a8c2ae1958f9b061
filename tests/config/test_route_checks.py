"""Every route, host and origin of a sound file can be met by some request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.errors import ConfigError
from config.loading import load_settings, parse_service
from config.route_checks import PATTERNS_MAX
from config.schema import ServiceSettings
from tests.config.test_loading import SOUND, write


def service(folder: Path, **keys: Any) -> ServiceSettings:
    settings = load_settings(write(folder, SOUND))
    document = {
        "id": "new",
        "instance": "acme-shared",
        "upstream": {"targets": [{"url": "http://127.0.0.1:1"}]},
        **keys,
    }
    return parse_service(document, settings, settings.services)


def faults(folder: Path, **keys: Any) -> list[str]:
    try:
        service(folder, **keys)
    except ConfigError as error:
        return [fault.path for fault in error.faults]
    return []


def routes(*pairs: tuple[str, list[str]]) -> list[dict[str, Any]]:
    return [{"id": f"r{at}", "path": path, "methods": methods} for at, (path, methods) in enumerate(pairs)]


@pytest.mark.parametrize(
    "pairs, found",
    [
        ([("/a/{x}", ["GET"]), ("/a/{y}", ["GET"])], ["routes[1].path"]),
        ([("/a/{x}.json", []), ("/a/{y}.json", [])], ["routes[1].path"]),
        ([("/a/{x}.json", []), ("/a/{y}.xml", [])], []),
        ([("/a/{x+}", []), ("/a/{y+}", [])], ["routes[1].path"]),
        ([("/a/{x+}", []), ("/a/*", []), ("/a/{x}", [])], []),
        ([("/{n=a/*}", []), ("/a/{x}", [])], ["routes[1].path"]),
        ([("/%7Ea", []), ("/~a", [])], ["routes[1].path"]),
        ([("/caf%c3%a9", []), ("/café", [])], ["routes[1].path"]),
        ([("/a", ["get"]), ("/a", ["GET"])], ["routes[1].path"]),
        ([("/a", ["GET"]), ("/a", [])], []),
        ([("/a", ["GET"]), ("/a", ["HEAD"])], ["routes[1].methods"]),
        ([("/a", ["HEAD"]), ("/a", ["GET"])], []),
        ([("/a", []), ("/a", ["HEAD"])], []),
    ],
)
def test_a_route_that_another_takes_everything_of_is_a_fault(
    tmp_path: Path, pairs: list[tuple[str, list[str]]], found: list[str]
) -> None:
    assert faults(tmp_path, routes=routes(*pairs)) == found


def test_a_websocket_is_opened_with_get(tmp_path: Path) -> None:
    assert faults(tmp_path, protocol="websocket", routes=routes(("/a", ["POST"]), ("/b", ["POST", "GET"]))) == [
        "routes[0].methods"
    ]


def test_segments_that_are_tried_in_turn_are_bounded(tmp_path: Path) -> None:
    most = [(f"/a/{{x}}.{at}", ["GET"]) for at in range(PATTERNS_MAX)]
    assert faults(tmp_path, routes=routes(*most, ("/b/{x}.0", []), ("/a/{y}.0", ["PUT"]))) == []
    assert faults(tmp_path, routes=routes(*most, ("/a/{x}.more", []))) == [f"routes[{PATTERNS_MAX}].path"]


def test_what_has_a_plain_meaning_is_served_by_it(tmp_path: Path) -> None:
    made = service(
        tmp_path,
        path="/%7Enew",
        hosts=["API.Example.com.", "*.Sub.Example.com", "::1", "orders_api"],
        routes=routes(("/%41/{id}", ["get", "m-search"])),
        cors={"origins": ["https://App.example.com:443/"], "methods": ["get"]},
    )
    assert made.path == "/~new"
    assert made.hosts == ("api.example.com", "*.sub.example.com", "[::1]", "orders_api")
    assert (made.routes[0].path, made.routes[0].methods) == ("/A/{id}", ("GET", "M-SEARCH"))
    assert made.cors is not None
    assert (made.cors.origins, made.cors.methods) == (("https://app.example.com",), ("GET",))


@pytest.mark.parametrize(
    "keys, found",
    [
        ({"hosts": ["a.example:80"]}, "hosts[0]"),
        ({"hosts": ["a.example", "A.example."]}, "hosts[1]"),
        ({"hosts": ["*"]}, "hosts[0]"),
        ({"path": "/a/"}, "path"),
        ({"path": "/a;v=1"}, "path"),
        ({"path": "/a/./b"}, "path"),
        ({"routes": routes(("/a", ["CONNECT"]))}, "routes[0].methods[0]"),
        ({"routes": routes(("/a", ["*"]))}, "routes[0].methods[0]"),
        ({"routes": routes(("/a", ["GE T"]))}, "routes[0].methods[0]"),
        ({"routes": routes(("/a;v=1", []))}, "routes[0].path"),
        ({"routes": routes(("/a//b", []))}, "routes[0].path"),
        ({"cors": {"origins": ["https://a.example/x"]}}, "cors.origins[0]"),
        ({"cors": {"origins": ["*.example.com"]}}, "cors.origins[0]"),
        ({"auth": {"header": "Content-Length"}}, "auth.header"),
        ({"auth": {"header": "host"}}, "auth.header"),
        ({"allow": ["10.0.0.1/8"]}, "allow[0]"),
        ({"allow": ["10.0.0.0/255.0.0.0"]}, "allow[0]"),
        ({"deny": ["fe80::1%eth0"]}, "deny[0]"),
        ({"qps": "100"}, "qps"),
        ({"qps": True}, "qps"),
        ({"qps": 100.0}, "qps"),
        ({"strip_path": "false"}, "strip_path"),
        ({"strip_path": 0}, "strip_path"),
        ({"id": 7}, "id"),
        ({"hosts": "a.example"}, "hosts"),
        ({"upstream": {"targets": [{"url": "http://127.0.0.1:1", "weight": "2"}]}}, "upstream.targets[0].weight"),
        ({"upstream": {"targets": [{"url": "http://127.0.0.1:1", "weight": 10**18}]}}, "upstream.targets[0].weight"),
        (
            {"upstream": {"targets": [{"url": "http://127.0.0.1:1"}], "health": {"interval": "0s"}}},
            "upstream.health.interval",
        ),
    ],
)
def test_what_no_request_could_meet_or_no_step_could_carry_is_refused_over_the_api_too(
    tmp_path: Path, keys: dict[str, Any], found: str
) -> None:
    assert found in faults(tmp_path, **keys)
