"""The served document against the running server: every route is in it, every answer is as it says."""

import re
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from gateway.admin.openapi import OPERATIONS, Operation, document
from tests.gateway.control.configuration import service

DOCUMENT = document()
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


@pytest.mark.parametrize("operation", READS, ids=[operation.path for operation in READS])
async def test_an_answer_is_as_described(client: TestClient, operation: Operation) -> None:
    await client.post("/v1/services", json=service("extra"))
    pack = {"account": "acme", "meter": "calls", "quantity": 1000, "months": 1, "price": "1.00"}
    await client.post("/v1/packs", json=pack)
    path = operation.path.replace("{month}", "2026-01")
    path = path.replace("{id}", "acme" if "accounts" in path else "extra")
    answer = await client.get(path)
    assert answer.status == operation.status
    described = DOCUMENT["paths"][operation.path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    check(await answer.json(), described)


@pytest.mark.parametrize(
    "path, content",
    [
        ("/v1/accounts/{id}/top-ups", {"cash": "1.00"}),
        ("/v1/packs", {"account": "acme", "meter": "calls", "quantity": 1, "months": 1, "price": "1"}),
        ("/v1/services", service("extra")),
    ],
)
async def test_what_is_described_as_content_is_taken_and_answered_as_described(
    client: TestClient, path: str, content: dict[str, Any]
) -> None:
    described = DOCUMENT["paths"][path]["post"]
    check(content, described["requestBody"]["content"]["application/json"]["schema"])
    answer = await client.post(path.replace("{id}", "acme"), json=content)
    assert answer.status == 201
    check(await answer.json(), described["responses"]["201"]["content"]["application/json"]["schema"])


async def test_a_problem_is_as_described(client: TestClient) -> None:
    answer = await client.post("/v1/services", json={})
    check(await answer.json(), {"$ref": "#/components/schemas/Problem"})


async def test_the_document_is_served(client: TestClient) -> None:
    answer = await client.get("/openapi.json")
    assert await answer.json() == DOCUMENT
