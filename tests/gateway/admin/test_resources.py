"""The /v1 resources over HTTP, on a real store."""

import io
from decimal import Decimal
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from tests.gateway.admin.desk import DeskNode
from tests.gateway.control.configuration import service

PACK = {"account": "acme", "meter": "calls", "quantity": 5_000_000, "months": 3, "price": "3.50"}


async def get(client: TestClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def cash(client: TestClient) -> Decimal:
    return Decimal((await get(client, "/v1/accounts/acme"))["wallet"]["cash"])


async def test_a_top_up_is_credited_once_for_its_key(client: TestClient) -> None:
    before = await cash(client)
    for _ in range(2):
        fields = {"Idempotency-Key": "k1"}
        answer = await client.post("/v1/accounts/acme/top-ups", json={"cash": "10.00"}, headers=fields)
        assert answer.status == 201
        assert (await answer.json())["cash"] == "10.00000000"
    assert await cash(client) == before + 10
    await client.post("/v1/accounts/acme/top-ups", json={"cash": "10.00"})
    assert await cash(client) == before + 20


async def test_a_key_that_comes_back_with_another_amount_is_refused(client: TestClient) -> None:
    fields = {"Idempotency-Key": "k1"}
    await client.post("/v1/accounts/acme/top-ups", json={"cash": "10.00"}, headers=fields)
    before = await cash(client)
    answer = await client.post("/v1/accounts/acme/top-ups", json={"cash": "11.00"}, headers=fields)
    assert answer.status == 422
    assert (await answer.json())["code"] == "idempotency_mismatch"
    assert await cash(client) == before


async def test_a_pack_is_bought_listed_ordered_and_given_back(client: TestClient) -> None:
    before = await cash(client)
    answer = await client.post("/v1/packs", json=PACK)
    assert answer.status == 201
    pack = (await answer.json())["id"]
    assert await cash(client) == before - Decimal("3.50")
    assert pack in [one["id"] for one in (await get(client, "/v1/packs?account=acme"))["items"]]
    assert pack in [one["ref"] for one in (await get(client, "/v1/orders"))["items"]]

    assert (await client.post(f"/v1/packs/{pack}/refund")).status == 201
    assert await cash(client) == before
    again = await client.post(f"/v1/packs/{pack}/refund")
    assert (again.status, (await again.json())["type"]) == (409, "urn:tollgate:pack_refunded")


@pytest.mark.parametrize(
    "method, path, content, status, code",
    [
        ("POST", "/v1/packs", {**PACK, "price": "1000.00"}, 402, "insufficient_funds"),
        ("POST", "/v1/packs", {**PACK, "account": "none"}, 404, "not_found"),
        ("POST", "/v1/packs", {**PACK, "months": 0}, 422, "invalid"),
        ("POST", "/v1/packs/free-calls-1/refund", None, 409, "pack_source"),
        ("POST", "/v1/accounts/none/top-ups", {"cash": "1.00"}, 404, "not_found"),
        ("POST", "/v1/accounts/acme/top-ups", {"cash": 1}, 422, "invalid"),
        ("POST", "/v1/accounts/acme/top-ups", ["cash"], 422, "invalid"),
        ("POST", "/v1/services", service("orders"), 409, "exists"),
        ("POST", "/v1/services", {"id": "half"}, 422, "invalid"),
        ("PUT", "/v1/services/orders", service("orders"), 409, "from_file"),
        ("DELETE", "/v1/services/none", None, 404, "not_found"),
        ("GET", "/v1/services/none", None, 404, "not_found"),
        ("GET", "/v1/accounts/none", None, 404, "not_found"),
        ("GET", "/v1/bills?account=none", None, 404, "not_found"),
        ("GET", "/v1/usage?month=13", None, 422, "invalid"),
        ("GET", "/v1/usage?colour=blue", None, 422, "invalid"),
        ("GET", "/v1/bills/2026-13/lines", None, 404, "not_found"),
        ("GET", "/v1/nothing", None, 404, "not_found"),
        ("PATCH", "/v1/accounts", None, 405, "method_not_allowed"),
    ],
)
async def test_what_is_refused_is_a_problem_with_its_code(
    client: TestClient, method: str, path: str, content: Any, status: int, code: str
) -> None:
    answer = await client.request(method, path, json=content)
    assert answer.status == status
    assert answer.content_type == "application/problem+json"
    problem = await answer.json()
    assert (problem["type"], problem["status"]) == (f"urn:tollgate:{code}", status)
    assert problem["detail"] and problem["title"] and problem["request_id"]
    assert ("errors" in problem) == (code == "invalid")


async def test_a_method_that_is_not_allowed_says_which_are(client: TestClient) -> None:
    answer = await client.delete("/v1/packs")
    assert set(answer.headers["Allow"].split(",")) >= {"GET", "POST"}


async def test_content_that_is_no_json_or_too_large_is_refused(client: TestClient) -> None:
    broken = await client.post("/v1/services", data=b"{")
    assert (broken.status, (await broken.json())["type"]) == (400, "urn:tollgate:bad_request")
    large = await client.post("/v1/services", data=io.BytesIO(b" " * (1024 * 1024 + 1)))
    assert (large.status, (await large.json())["type"]) == (413, "urn:tollgate:body_too_large")


async def test_an_unforeseen_failure_is_a_problem_that_says_nothing_of_the_inside(
    client: TestClient, node: DeskNode, caplog: pytest.LogCaptureFixture
) -> None:
    node.store.engine.dispose()
    node.store.book.services = None  # type: ignore[assignment, method-assign]
    answer = await client.get("/v1/instances")
    problem = await answer.json()
    assert (answer.status, problem["type"]) == (500, "urn:tollgate:internal_error")
    assert "NoneType" not in str(problem)
    assert "NoneType" in caplog.text


async def test_a_service_goes_through_its_life(client: TestClient) -> None:
    made = await client.post("/v1/services", json=service("extra", qps=10))
    assert (made.status, made.headers["Location"]) == (201, "/v1/services/extra")
    assert (await made.json())["path"] == "/extra"
    changed = await client.put("/v1/services/extra", json=service("extra", qps=20))
    assert (changed.status, (await changed.json())["qps"]) == (200, 20)
    assert (await get(client, "/v1/services/extra"))["qps"] == 20
    assert (await client.delete("/v1/services/extra")).status == 204
    assert (await client.get("/v1/services/extra")).status == 404


async def test_a_service_more_than_the_instance_takes_is_refused(client: TestClient) -> None:
    """L2: 200 on a shared instance; the file has one."""
    for number in range(199):
        assert (await client.post("/v1/services", json=service(f"s{number}"))).status == 201
    answer = await client.post("/v1/services", json=service("one-more"))
    assert (answer.status, (await answer.json())["type"]) == (409, "urn:tollgate:service_limit")


@pytest.mark.parametrize(
    "path, ids",
    [
        ("/v1/accounts", ["acme"]),
        ("/v1/instances", ["acme-shared", "acme-dedicated"]),
        ("/v1/instances?account=acme&instance=acme-shared", ["acme-shared"]),
        ("/v1/services", ["orders", "checkout"]),
        ("/v1/services?instance=acme-dedicated", ["checkout"]),
        ("/v1/services?service=orders", ["orders"]),
    ],
)
async def test_lists_are_items_and_next_and_can_be_filtered(client: TestClient, path: str, ids: list[str]) -> None:
    listed = await get(client, path)
    assert set(listed) == {"items", "next"} and listed["next"] is None
    assert [item["id"] for item in listed["items"]] == ids


async def test_limits_are_listed_as_they_stand(client: TestClient) -> None:
    items = (await get(client, "/v1/limits?instance=acme-shared"))["items"]
    assert [(one["level"], one["qps"], one["route"]) for one in items] == [
        ("instance", 300, None),
        ("service", 100, None),
        ("route", 50, "list"),
    ]
    assert [one["headroom"] for one in items] == [31, 11, 6]
    assert (await get(client, "/v1/limits?service=none"))["items"] == []


async def test_an_instance_shows_its_limits_and_whether_it_serves(client: TestClient) -> None:
    shared, dedicated = (await get(client, "/v1/instances"))["items"]
    assert shared["limits"] == {"instance": 300, "service": 500, "route": 500}
    assert (shared["services"], shared["services_max"], shared["body_max"]) == (1, 200, 16 * 2**20)
    assert (dedicated["spec"], dedicated["state"], dedicated["serving"]) == ("dedicated-2500", "active", True)


async def test_bills_are_an_account_of_the_simulation_and_all_of_them_by_id(client: TestClient) -> None:
    one = await get(client, "/v1/bills?account=acme")
    assert {"state", "wallet", "transitions", "notifications", "packs", "bills"} <= set(one)
    assert (await get(client, "/v1/bills"))["accounts"] == {"acme": one}


async def test_not_ready_is_503(stranger: TestClient, node: DeskNode) -> None:
    assert (await stranger.get("/readyz")).status == 200
    node.is_up = False
    answer = await stranger.get("/readyz")
    assert (answer.status, (await answer.json())["type"]) == (503, "urn:tollgate:not_ready")
    assert (await stranger.get("/healthz")).status == 200


async def test_a_restart_answers_with_the_node_and_a_failed_one_is_a_503(client: TestClient, node: DeskNode) -> None:
    answer = await client.post("/v1/workers/restart")
    assert (answer.status, (await answer.json())["node"], node.restarts) == (200, "node-1", 1)
    node.is_up = False
    answer = await client.post("/v1/workers/restart")
    assert (answer.status, (await answer.json())["code"]) == (503, "not_restarted")
