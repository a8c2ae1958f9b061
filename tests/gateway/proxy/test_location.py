"""Where answers point to (`location: rewrite`): under the service's path, for upstreams that know of no prefix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.gateway.data_plane import Raw, service, worker
from tests.gateway.proxy.origins import answering, origin_of
from tests.node import origin

# The target is http://127.0.0.1:PORT/base, the service /s, the host that clients ask for x.example.
LOCATIONS = [
    pytest.param("/base/login?next=/a#b", "/s/login?next=/a#b", id="an absolute path"),
    pytest.param("/base", "/s", id="the base itself"),
    pytest.param("/base/", "/s/", id="the base with a slash"),
    pytest.param("/base?x", "/s?x", id="a query alone"),
    pytest.param("http://127.0.0.1:{port}/base/a", "/s/a", id="the target's URL"),
    pytest.param("HTTP://127.0.0.1:{port}/base/a", "/s/a", id="in other letters"),
    pytest.param("//127.0.0.1:{port}/base/a", "/s/a", id="the target without a scheme"),
    pytest.param("https://x.example/base/a", "https://x.example/s/a", id="the host that was asked for"),
    pytest.param("//X.example/base/a", "//X.example/s/a", id="that host without a scheme"),
    pytest.param("https://127.0.0.1:{port}/base/a", None, id="the target by another scheme"),
    pytest.param("http://other.example/base/a", None, id="another host"),
    pytest.param("http://x.example:8080/base/a", None, id="another port"),
    pytest.param("http://x.example@evil.example/base/a", None, id="a user"),
    pytest.param("/elsewhere", None, id="not under the base"),
    pytest.param("/basement", None, id="no segment boundary"),
    pytest.param("/base/../other", None, id="that leaves the base"),
    pytest.param("/base//evil.example", "/s//evil.example", id="two slashes"),
    pytest.param("login", None, id="relative"),
    pytest.param("../a", None, id="relative, upwards"),
    pytest.param("?page=2", None, id="a query"),
    pytest.param("mailto:a@example.com", None, id="another scheme"),
    pytest.param("", None, id="empty"),
]


def answer(*fields: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 302 Found", "Content-Length: 0", *fields, "", ""]).encode()


def told(tmp_path: Path, *fields: str, path: str = "/s", base: str = "/base", **changes: Any) -> bytes:
    """The answer's head, as the client reads it. ``{port}`` in a field is the target's."""
    with origin_of(lambda connection: None) as upstream:
        port = upstream.port
    with origin_of(answering(answer(*(field.format(port=port) for field in fields))), port=port):
        targets = [{"url": f"http://127.0.0.1:{port}{base}", "weight": 1, "network": "vpc"}]
        made = service("s", port, path=path, upstream={"targets": targets}, **({"location": "rewrite"} | changes))
        with worker(tmp_path, made) as running, Raw(running.port) as client:
            request = f"GET {path.rstrip('/')}/x HTTP/1.1\r\nHost: x.example\r\nConnection: close\r\n\r\n"
            return client.send(request.encode()).rest().replace(str(port).encode(), b"{port}")


@pytest.mark.parametrize("name", ["Location", "content-LOCATION"])
@pytest.mark.parametrize("place, mended", LOCATIONS)
def test_what_is_under_the_targets_path_is_told_under_the_services(
    tmp_path: Path, name: str, place: str, mended: str | None
) -> None:
    wanted = place if mended is None else mended
    assert f"\r\n{name}: {wanted}\r\n".encode() in told(tmp_path, "A: 1", f"{name}: {place}", "B: 2")


def test_without_a_base_path_all_is_under_it(tmp_path: Path) -> None:
    text = told(tmp_path, "Location: /a", "Content-Location: http://127.0.0.1:{port}", base="")
    assert b"\r\nLocation: /s/a\r\n" in text
    assert b"\r\nContent-Location: /s/\r\n" in text


def test_no_answer_points_to_a_host_that_the_upstream_did_not_name(tmp_path: Path) -> None:
    text = told(tmp_path, "Location: /base//evil.example/", path="/", strip_path=False)
    assert b"\r\nLocation: /base//evil.example/\r\n" in text


def test_what_is_not_stripped_is_not_put_before(tmp_path: Path) -> None:
    assert b"\r\nLocation: /s/a\r\n" in told(tmp_path, "Location: /base/s/a", strip_path=False)


COOKIES = [
    pytest.param("a=b; Path=/base; Secure", "a=b; Path=/s; Secure", id="the base"),
    pytest.param("a=b; path=/base/x", "a=b; path=/s/x", id="under it"),
    pytest.param("a=b;PATH = /", "a=b;PATH = /s", id="all of the upstream"),
    pytest.param("a=/base; Path=/elsewhere", "a=/base; Path=/elsewhere", id="elsewhere"),
    pytest.param("a=b", "a=b", id="without"),
    pytest.param("__Host-a=b; Secure; Path=/", "__Host-a=b; Secure; Path=/", id="one that has to have it"),
]


@pytest.mark.parametrize("cookie, mended", COOKIES)
def test_a_cookie_is_of_where_its_client_sees_it(tmp_path: Path, cookie: str, mended: str) -> None:
    text = told(tmp_path, f"Set-Cookie: {cookie}", "Set-Cookie: second=1; Path=/base/y", "Z: 1")
    assert f"\r\nSet-Cookie: {mended}\r\nSet-Cookie: second=1; Path=/s/y\r\nZ: 1\r\n".encode() in text


def test_it_is_off_where_nobody_asks_for_it(tmp_path: Path) -> None:
    text = told(tmp_path, "Location: /base/a", "Set-Cookie: a=b; Path=/base", location="keep")
    assert b"\r\nLocation: /base/a\r\nSet-Cookie: a=b; Path=/base\r\n" in text


def test_answers_without_such_fields_go_on_as_they_came(tmp_path: Path) -> None:
    with (
        origin() as port,
        worker(tmp_path, service("s", port, location="rewrite")) as running,
        Raw(running.port) as client,
    ):
        assert client.send(b"GET /s/bytes/3 HTTP/1.1\r\nHost: x\r\n\r\n").answer()[2] == b"xxx"
