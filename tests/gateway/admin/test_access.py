"""Who may ask what (DESIGN 1.6, 1.7)."""

import asyncio

import pytest
from aiohttp.test_utils import TestClient, TestServer

from gateway.admin.app import make_app
from gateway.admin.session import COOKIE, GUARD_FIELD
from tests.gateway.admin.desk import TOKEN, DeskNode

GUARD = {GUARD_FIELD: "1"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/", "/console/static/console.js"])
async def test_what_machines_watch_and_the_page_itself_need_no_token(stranger: TestClient, path: str) -> None:
    assert (await stranger.get(path)).status == 200


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="none"),
        pytest.param({"Authorization": "Bearer wrong"}, id="wrong"),
        pytest.param({"Authorization": f"Bearer {TOKEN}x"}, id="longer"),
        pytest.param({"Authorization": f"Basic {TOKEN}"}, id="another scheme"),
        pytest.param({"Authorization": "Bearer"}, id="empty"),
        pytest.param({"Cookie": f"{COOKIE}=made-up"}, id="a made-up session"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/accounts", "/openapi.json", "/no-such-place"])
async def test_the_rest_needs_the_token(stranger: TestClient, path: str, fields: dict[str, str]) -> None:
    answer = await stranger.get(path, headers=fields)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert (await answer.json())["type"] == "urn:tollgate:unauthorized"


async def sign_in(stranger: TestClient, token: str = TOKEN) -> int:
    return (await stranger.post("/console/session", json={"token": token}, headers=GUARD)).status


async def test_the_console_signs_in_with_the_token_for_a_strict_cookie(stranger: TestClient) -> None:
    answer = await stranger.post("/console/session", json={"token": TOKEN}, headers=GUARD)
    assert answer.status == 204
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert (await stranger.get("/v1/accounts")).status == 200


async def test_a_wrong_token_opens_no_session(stranger: TestClient) -> None:
    assert await sign_in(stranger, "wrong") == 401
    assert (await stranger.get("/v1/accounts")).status == 401


async def test_a_session_changes_nothing_without_the_guard_field(stranger: TestClient) -> None:
    """A form on another site can send the cookie's request, but never this field (without being asked first)."""
    await sign_in(stranger)
    path = "/v1/accounts/acme/top-ups"
    assert (await stranger.post(path, json={"cash": "1.00"})).status == 403
    assert (await stranger.post(path, json={"cash": "1.00"}, headers=GUARD)).status == 201


async def test_after_signing_out_the_old_cookie_opens_nothing(stranger: TestClient) -> None:
    answer = await stranger.post("/console/session", json={"token": TOKEN}, headers=GUARD)
    value = answer.cookies[COOKIE].value
    assert (await stranger.delete("/console/session", headers=GUARD)).status == 204
    assert (await stranger.get("/v1/accounts", headers={"Cookie": f"{COOKIE}={value}"})).status == 401


async def test_signing_in_needs_the_guard_field_too(stranger: TestClient) -> None:
    assert (await stranger.post("/console/session", json={"token": TOKEN})).status == 403


EVERYWHERE = ["/", "/healthz", "/readyz", "/metrics", "/console/static/console.js", "/v1/node", "/no-such-place"]


@pytest.mark.parametrize("path", EVERYWHERE)
@pytest.mark.parametrize(
    "host",
    [
        pytest.param("evil.example", id="another's name"),
        pytest.param("evil.example:8081", id="with a port"),
        pytest.param("localhost.evil.example", id="begins like ours"),
        pytest.param("127.0.0.1.evil.example", id="begins like an address"),
        pytest.param("2130706433", id="a number is no address here"),
        pytest.param("evil@127.0.0.1", id="with a user"),
        pytest.param("", id="empty"),
    ],
)
async def test_another_ones_name_is_refused_on_every_path(client: TestClient, path: str, host: str) -> None:
    """A page that its owner has pointed here reads nothing: DNS rebinding."""
    answer = await client.get(path, headers={"Host": host})
    assert answer.status == 421
    assert answer.content_type == "application/problem+json"
    assert "admin.hosts" in (await answer.json())["detail"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "10.1.2.3:8081", "[::1]", "[2001:db8::1]:80", "Gate.Example:1"]
)
async def test_addresses_and_names_of_the_node_are_served(node: DeskNode, host: str) -> None:
    async with TestClient(TestServer(make_app(node, TOKEN, hosts=["gate.example"]))) as client:
        assert (await client.get("/healthz", headers={"Host": host})).status == 200


async def test_a_target_in_absolute_form_is_no_way_around(client: TestClient) -> None:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(b"GET http://evil.example/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 421 ")
    writer.close()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param({}, 200, id="no browser"),
        pytest.param({"Sec-Fetch-Site": "same-origin"}, 200, id="its own page"),
        pytest.param({"Sec-Fetch-Site": "none"}, 200, id="the person"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, 403, id="another port of the machine"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, id="another site"),
        pytest.param({"Origin": "http://127.0.0.1:1"}, 403, id="another origin"),
        pytest.param({"Origin": "null"}, 403, id="an origin that is hidden"),
    ],
)
async def test_a_session_is_for_the_consoles_own_page(
    stranger: TestClient, fields: dict[str, str], status: int
) -> None:
    """SameSite lets the pages of other ports send the cookie."""
    assert await sign_in(stranger) == 204
    assert (await stranger.get("/v1/accounts", headers=fields)).status == status
    answer = await stranger.post("/console/session", json={"token": TOKEN}, headers={**GUARD, **fields})
    assert answer.status == (204 if status == 200 else 403)
    assert (await stranger.get("/v1/accounts", headers={"Authorization": f"Bearer {TOKEN}", **fields})).status == 200


async def test_the_consoles_own_origin_is_taken(stranger: TestClient) -> None:
    own = {**GUARD, "Origin": str(stranger.make_url("/")).rstrip("/")}
    assert (await stranger.post("/console/session", json={"token": TOKEN}, headers=own)).status == 204
    assert (await stranger.delete("/console/session", headers=own)).status == 204
