"""Who may ask what (DESIGN 1.6, 1.7)."""

import pytest
from aiohttp.test_utils import TestClient

from gateway.admin.session import COOKIE, GUARD_FIELD
from tests.gateway.admin.desk import TOKEN

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
