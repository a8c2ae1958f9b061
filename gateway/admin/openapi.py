"""/openapi.json: the OpenAPI 3.1 document of what this node answers. A test holds it against the routes."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from aiohttp import web

from gateway.admin import schemas
from gateway.admin.answer import answer
from gateway.admin.billing_schemas import SCHEMAS as BILLING_SCHEMAS
from gateway.admin.events import BATCH, SINGLE
from gateway.admin.keys import KEY_CHARS_MAX
from metering.events import EVENTS_MAX

_FILTERS: Final = {
    "account": "items of this account",
    "instance": "items of this instance",
    "service": "items of this service",
    "month": "a local month, 2026-01",
    "from": "from the hour of this time on, RFC 3339, in the years 2000 to 2199",
    "to": "up to this time, exclusive, RFC 3339, in the years 2000 to 2199",
    "after": "from where the page before ended: its `next`",
}
_PARAMETER = re.compile(r"\{(\w+)\}")


class Operation(NamedTuple):
    """One operation: ``answer`` and ``content`` name schemas; ``refusals`` are statuses beside 401."""

    method: str
    path: str
    summary: str
    status: int = 200
    answer: str | None = None
    is_list: bool = False
    filters: tuple[str, ...] = ()
    content: str | None = None
    is_money: bool = False
    refusals: tuple[int, ...] = ()
    is_open: bool = False


OPERATIONS: Final = (
    Operation("get", "/healthz", "The control process is alive", answer="Status", is_open=True),
    Operation("get", "/readyz", "Traffic may be sent here", answer="Status", refusals=(503,), is_open=True),
    Operation("get", "/metrics", "Metrics, in Prometheus' text format or in OpenMetrics", is_open=True),
    Operation("get", "/openapi.json", "This document"),
    Operation("get", "/v1/node", "The node: version, clock, worker pools", answer="Node"),
    Operation("post", "/v1/workers/restart", "Replace every worker, one at a time", answer="Node", refusals=(503,)),
    Operation("get", "/v1/accounts", "Accounts", answer="Account", is_list=True, filters=("account",)),
    Operation("get", "/v1/accounts/{id}", "One account", answer="Account", refusals=(404,)),
    Operation(
        "post", "/v1/accounts/{id}/top-ups", "Put money in", 201, "TopUpDone", False, (), "TopUp", True, (404, 409, 422)
    ),
    Operation("get", "/v1/instances", "Instances", answer="Instance", is_list=True, filters=("account", "instance")),
    Operation(
        "get", "/v1/services", "Services", answer="Service", is_list=True, filters=("account", "instance", "service")
    ),
    Operation("post", "/v1/services", "Add a service", 201, "Service", content="Service", refusals=(409, 422)),
    Operation("get", "/v1/services/{id}", "One service", answer="Service", refusals=(404,)),
    Operation(
        "put", "/v1/services/{id}", "Change a service", answer="Service", content="Service", refusals=(404, 409, 422)
    ),
    Operation("delete", "/v1/services/{id}", "Remove a service", 204, refusals=(404, 409)),
    Operation(
        "get",
        "/v1/limits",
        "Limits and quotas as they stand: setting, admitted, headroom",
        answer="Limit",
        is_list=True,
        filters=("account", "instance", "service"),
    ),
    Operation("get", "/v1/packs", "Resource packs", answer="Pack", is_list=True, filters=("account",)),
    Operation("post", "/v1/packs", "Buy a pack", 201, "Pack", False, (), "PackPurchase", True, (402, 404, 409, 422)),
    Operation("post", "/v1/packs/{id}/refund", "Give a pack back", 201, "Refund", False, (), None, True, (404, 409)),
    Operation("get", "/v1/orders", "Orders and refunds", answer="Order", is_list=True, filters=("account", "month")),
    Operation("get", "/v1/usage", "Metered usage by hour", answer="Usage", is_list=True, filters=tuple(_FILTERS)[:-1]),
    Operation(
        "post",
        "/v1/events",
        "Count usage that was metered elsewhere: CloudEvents 1.0, one or a batch, each once, all or none",
        answer="Ingested",
        content="UsageEvent",
        refusals=(400, 413, 415, 422),
    ),
    Operation(
        "get",
        "/v1/traffic",
        "Traffic since the control process started, up to a second ago",
        answer="Traffic",
        is_list=True,
        filters=("instance", "service"),
    ),
    Operation(
        "get",
        "/v1/bills",
        "With `account`: its bills; else those of every account, by id",
        answer="Bills",
        filters=("account", "month"),
        refusals=(404,),
    ),
    Operation(
        "get",
        "/v1/bills/{month}/lines",
        "A month's bill lines",
        answer="BillLine",
        is_list=True,
        filters=("account", "instance"),
        refusals=(404,),
    ),
    Operation(
        "get",
        "/v1/settlements",
        "Settled hours",
        answer="Settlement",
        is_list=True,
        filters=("account", "month", "from", "to"),
    ),
    *(
        Operation("post", path, summary, 201, answered, False, (), content, True, refusals)
        for path, summary, answered, content, refusals in (
            ("/v1/accounts/{id}/vouchers", "Give a voucher", "Done", "VoucherGrant", (404, 409, 422)),
            ("/v1/accounts/{id}/adjustments", "Give money back for an hour", "Settlement", "Adjustment", (404, 422)),
            ("/v1/accounts/{id}/free-quota", "Give the free quota anew", "Done", None, (404,)),
            ("/v1/instances", "Buy a dedicated instance", "Done", "InstancePurchase", (402, 404, 409, 422)),
            ("/v1/instances/{id}/release", "Release an instance paid by the second", "Done", None, (404, 409)),
            ("/v1/instances/{id}/refund", "Give a prepaid instance back", "Done", None, (403, 404, 409)),
            ("/v1/instances/{id}/renew", "Prolong a prepaid instance", "Done", "Renewal", (402, 404, 409, 422)),
        )
    ),
    Operation(
        "put",
        "/v1/accounts/{id}/refund-veto",
        "Stop refunds of an account's instances, or allow them",
        answer="Veto",
        content="VetoWish",
        refusals=(404, 422),
    ),
    Operation(
        "post",
        "/v1/accounts/{id}/what-if",
        "A month's usage under other terms; nothing changes",
        answer="WhatIf",
        content="WhatIfWish",
        refusals=(404, 422),
    ),
    Operation(
        "get",
        "/v1/accounts/{id}/transfers",
        "An account's ledger: so many transfers, and where to go on",
        answer="Transfer",
        is_list=True,
        filters=("month", "from", "to", "after"),
        refusals=(404,),
    ),
    Operation(
        "get", "/v1/bill-lines/{id}/explanation", "What is behind a bill line", answer="Explanation", refusals=(404,)
    ),
    Operation(
        "get",
        "/v1/bills/{month}/focus",
        "FOCUS 1.4 rows",
        answer="FocusRow",
        is_list=True,
        filters=("account",),
        refusals=(404,),
    ),
    Operation(
        "get",
        "/v1/bills/{month}/statement",
        "A month on a page; JSON where `Accept` asks for it",
        answer="Statement",
        filters=("account",),
        refusals=(404, 422),
    ),
    Operation("get", "/v1/reconciliation", "What in the store contradicts itself", answer="Finding", is_list=True),
    Operation(
        "post",
        "/v1/reconciliation",
        "The same; hours that are not billed are marked again",
        answer="Finding",
        is_list=True,
    ),
)


def document() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tollgate admin API",
            "version": version("tollgate"),
            "description": "Money is a decimal string with 8 decimals; times are UTC, months are local. Times that are "
            "handed in are RFC 3339, in the years 2000 to 2199. An amount is 1,000,000,000 at most, and so is the "
            "balance that it makes (`too_large`).",
        },
        "security": [{"bearer": []}, {"session": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "tollgate_session"},
            },
            "schemas": {**schemas.SCHEMAS, **BILLING_SCHEMAS},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": _id(operation),
        "parameters": _parameters(operation),
        "responses": {str(operation.status): _response(operation)},
    }
    if operation.content is not None:
        described["requestBody"] = {"required": True, "content": _content(operation.content)}
    statuses = set(operation.refusals) if operation.is_open else {401, *operation.refusals}
    if operation.filters or operation.is_money:
        statuses.add(422)  # a filter that is none; a key that is none; what would be too large
    for status in sorted(statuses):
        described["responses"][str(status)] = {
            "description": "A problem (RFC 9457)",
            "content": {"application/problem+json": {"schema": _reference("Problem")}},
        }
    if operation.is_open:
        described["security"] = []
    return described


def _id(operation: Operation) -> str:
    words = [word for word in re.split(r"[^A-Za-z0-9]+", operation.path) if word and word != "v1"]
    return "_".join([operation.method, *words])


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(operation.path)
    ]
    for name in operation.filters:
        parameters.append({"name": name, "in": "query", "description": _FILTERS[name], "schema": {"type": "string"}})
    if operation.is_money:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same key again moves no more money and gives the first answer",
                "schema": {"type": "string", "minLength": 1, "maxLength": KEY_CHARS_MAX},
            }
        )
    return parameters


def _response(operation: Operation) -> dict[str, Any]:
    response: dict[str, Any] = {"description": operation.summary}
    if operation.path == "/metrics":
        response["content"] = {
            type: {"schema": {"type": "string"}} for type in ("text/plain", "application/openmetrics-text")
        }
    elif operation.answer is not None and operation.is_list:
        response["content"] = _json(
            {
                "type": "object",
                "required": ["items", "next"],
                "properties": {
                    "items": {"type": "array", "items": _reference(operation.answer)},
                    "next": {"type": ["string", "null"]},
                },
            }
        )
    elif operation.answer is not None:
        response["content"] = _json(_reference(operation.answer))
        if operation.answer == "Statement":
            response["content"]["text/html"] = {"schema": {"type": "string"}}
    elif operation.status == 200:
        response["content"] = _json({"type": "object"})
    return response


def _content(schema: str) -> dict[str, Any]:
    if schema != "UsageEvent":
        return _json(_reference(schema))
    return {
        SINGLE: {"schema": _reference(schema)},
        BATCH: {"schema": {"type": "array", "maxItems": EVENTS_MAX, "items": _reference(schema)}},
        # Binary mode: the attributes are the fields ce-id, ce-source, ce-type, ce-time and ce-specversion.
        **_json(_reference("UsageData")),
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def add_openapi(app: web.Application) -> None:
    described = document()

    async def openapi(request: web.Request) -> web.Response:
        return answer(described)

    app.add_routes([web.get("/openapi.json", openapi)])
