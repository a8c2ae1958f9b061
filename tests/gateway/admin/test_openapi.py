"""The served document against the running server: every route is in it, every answer is as it says."""

import re
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from gateway.admin.openapi import OPERATIONS, Operation, document
from tests.billing.world import count_rows
from tests.gateway.admin.desk import DeskNode
from tests.gateway.control.configuration import service

DOCUMENT = document()
BOUGHT = {"account": "acme", "id": "bought", "spec": "dedicated-2500", "region": "ap-guangzhou"}
_TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}


def check(value: Any, schema: dict[str, Any], at: str = "$") -> None:
    """The part of JSON Schema that the document uses."""
    if "$ref" in schema:
        check(value, DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]], at)
        return
    if "oneOf" in schema:
        errors = []
        for option in schema["oneOf"]:
            try:
                check(value, option, at)
            except AssertionError as error:
                errors.append(error)
        assert len(errors) == len(schema["oneOf"]) - 1, (at, errors)
        return
    if "enum" in schema:
        assert value in schema["enum"], at
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        is_number_like_flag = isinstance(value, bool) and "boolean" not in kinds
        assert not is_number_like_flag and isinstance(value, tuple(_TYPES[kind] for kind in kinds)), (at, value)
    if "pattern" in schema and isinstance(value, str):
        assert re.search(schema["pattern"], value), (at, value)
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            assert name in value, f"{at}.{name} is missing"
        for name, item in value.items():
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties", {}))
            assert inner is not False, f"{at}.{name} is not described"
            check(item, inner, f"{at}.{name}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            check(item, schema.get("items", {}), f"{at}[{index}]")


def test_every_route_is_described_and_every_description_is_a_route(client: TestClient) -> None:
    app = client.server.app  # type: ignore[attr-defined]
    routes = {
        (route.method.lower(), route.resource.canonical) for route in app.router.routes() if route.method != "HEAD"
    }
    apis = {
        (method, path)
        for method, path in routes
        if not path.startswith("/console") and path not in ("/", "/favicon.ico")
    }
    assert apis == {(operation.method, operation.path) for operation in OPERATIONS}


def test_every_reference_points_somewhere_and_ids_are_unique() -> None:
    names = set(re.findall(r"#/components/schemas/(\w+)", str(DOCUMENT)))
    assert names <= set(DOCUMENT["components"]["schemas"])
    ids = [one["operationId"] for path in DOCUMENT["paths"].values() for one in path.values()]
    assert len(ids) == len(set(ids))


READS = [operation for operation in OPERATIONS if operation.method == "get" and operation.answer]


def settle(node: DeskNode) -> None:
    """An hour of this month on the bill, covered by a pack in part."""
    now = node.store.clock.now()
    hour = int(now) // 3600 - 1
    count_rows(node.store.engine, hour, {"calls": 1500}, account="acme", instance="acme-shared")
    node.store.biller.settle(now, lambda hour: True)


@pytest.mark.parametrize("operation", READS, ids=[operation.path for operation in READS])
async def test_an_answer_is_as_described(client: TestClient, node: DeskNode, operation: Operation) -> None:
    await client.post("/v1/services", json=service("extra"))
    pack = {"account": "acme", "meter": "calls", "quantity": 1000, "months": 1, "price": "1.00"}
    await client.post("/v1/packs", json=pack)
    settle(node)
    [month] = (await (await client.get("/v1/bills?account=acme")).json())["bills"]
    path = operation.path.replace("{month}", month)
    path = path.replace("{id}", "acme" if "accounts" in path else "1" if "lines" in path else "extra")
    answer = await client.get(path, headers={"Accept": "application/json"})
    assert answer.status == operation.status
    described = DOCUMENT["paths"][operation.path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    check(await answer.json(), described)


HOUR_BEFORE = "2026-01-15T09:00:00Z"


@pytest.mark.parametrize(
    "path, content",
    [
        ("/v1/accounts/{id}/top-ups", {"cash": "1.00"}),
        ("/v1/packs", {"account": "acme", "meter": "calls", "quantity": 1, "months": 1, "price": "1"}),
        ("/v1/services", service("extra")),
        ("/v1/accounts/{id}/vouchers", {"id": "v", "amount": "1.00", "expires_at": "2030-01-01T00:00:00Z"}),
        (
            "/v1/accounts/{id}/adjustments",
            {"hour": HOUR_BEFORE, "instance": "acme-shared", "meter": "calls", "amount": "0.5", "reason": "SLA"},
        ),
        ("/v1/accounts/{id}/free-quota", None),
        ("/v1/accounts/{id}/what-if", {"month": "2026-01", "spec": "dedicated-2500"}),
        ("/v1/instances", BOUGHT | {"charge": {"prepaid_months": 1}, "price": "2.00"}),
        ("/v1/instances/{id}/release", None),
        ("/v1/instances/{id}/refund", None),
        ("/v1/instances/{id}/renew", {"months": 1}),
        ("/v1/reconciliation", None),
    ],
)
async def test_what_is_described_as_content_is_taken_and_answered_as_described(
    client: TestClient, path: str, content: dict[str, Any] | None
) -> None:
    described = DOCUMENT["paths"][path]["post"]
    if content is not None:
        check(content, described["requestBody"]["content"]["application/json"]["schema"])
    await client.post("/v1/instances", json=BOUGHT | {"id": "second"})
    await client.post("/v1/instances", json=BOUGHT | {"id": "month", "charge": {"prepaid_months": 1}, "price": "2.00"})
    id = {"release": "second", "refund": "month", "renew": "month"}.get(path.rpartition("/")[2], "acme")
    answer = await client.post(path.replace("{id}", id), json=content)
    [status] = [status for status in described["responses"] if status.startswith("2")]
    assert answer.status == int(status), await answer.text()
    check(await answer.json(), described["responses"][status]["content"]["application/json"]["schema"])


def test_every_post_that_moves_money_names_the_idempotency_key() -> None:
    # An event is its own key: source and id.
    without = {"/v1/services", "/v1/workers/restart", "/v1/accounts/{id}/what-if", "/v1/reconciliation", "/v1/events"}
    posts = {path: one["post"] for path, one in DOCUMENT["paths"].items() if "post" in one}
    named = {path for path, one in posts.items() if "Idempotency-Key" in str(one["parameters"])}
    assert set(posts) - named == without


async def test_a_problem_is_as_described(client: TestClient) -> None:
    answer = await client.post("/v1/services", json={})
    check(await answer.json(), {"$ref": "#/components/schemas/Problem"})


async def test_the_document_is_served(client: TestClient) -> None:
    answer = await client.get("/openapi.json")
    assert await answer.json() == DOCUMENT
