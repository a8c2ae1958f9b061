"""Schemas of the admin API's documents, for /openapi.json. The shapes are those of DESIGN 1.4, 1.6 and 1.2."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}
_NUMBER: Schema = {"type": "integer"}
_MAYBE_NUMBER: Schema = {"type": ["integer", "null"]}
_FLAG: Schema = {"type": "boolean"}
_MONEY: Schema = {"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{8}$"}
_MONEY_IN: Schema = {"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,8})?$"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_MAYBE_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
_COUNTS: Schema = {"type": "object", "additionalProperties": {"type": "integer"}}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None, *, is_open: bool = True) -> Schema:
    schema: Schema = {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }
    if not is_open:
        schema["additionalProperties"] = False
    return schema


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_WALLET = _object({"cash": _MONEY, "gift": _MONEY, "income": _MONEY, "held": _MONEY})
_PACK = {
    "id": _TEXT,
    "meter": {"enum": ["calls", "egress"]},
    "source": {"enum": ["free", "campaign", "purchase"]},
    "total": _NUMBER,
    "used": _NUMBER,
    "valid_from": _TIME,
    "valid_to": _TIME,
    "state": {"enum": ["active", "used_up", "expired", "refunded"]},
}
_LINE = {
    "hour": _TIME,
    "instance": _TEXT,
    "region": _TEXT,
    "meter": {"enum": ["calls", "egress_client", "egress_backend", "instance_seconds"]},
    "cover": {"enum": ["free", "pack", "payg", "instance"]},
    "tier": _MAYBE_NUMBER,
    "quantity": _NUMBER,
    "unit_price": _TEXT,
    "per": _NUMBER,
    "list": _MONEY,
    "amount": _MONEY,
    "pack": _MAYBE_TEXT,
    "late": _FLAG,
    "corrects_month": _MAYBE_TEXT,
}
_EGRESS = _object(
    {
        "side": {"enum": ["client", "backend"]},
        "network": {"enum": ["internet", "vpc"]},
        "basis": {"enum": ["application", "wire"]},
        "bytes": _NUMBER,
    }
)
_BILLS = {
    "state": {"enum": ["active", "arrears", "suspended", "destroyed"]},
    "wallet": _WALLET,
    "bills": {
        "type": "object",
        "description": "By local month",
        "additionalProperties": _object({"total": _MONEY, "lines": _list(_object(_LINE))}),
    },
}
_FAULT = _object({"path": _TEXT, "message": _TEXT})

SCHEMAS: Final[dict[str, Schema]] = {
    "Problem": _object(
        {"type": _TEXT, "title": _TEXT, "status": _NUMBER, "code": _TEXT, "detail": _TEXT, "request_id": _TEXT},
        {"errors": _list(_FAULT)},
    ),
    "Status": _object({"status": _TEXT}),
    "Node": _object(
        {
            "node": _TEXT,
            "version": _TEXT,
            "is_compiled": _FLAG,
            "is_ready": _FLAG,
            "clock": _object({"rate": {"type": "number"}, "now": _TIME}),
            "pools": {
                "type": "object",
                "additionalProperties": _list(
                    _object({"slot": _NUMBER, "pid": _MAYBE_NUMBER, "is_serving": _FLAG, "snapshot": _NUMBER})
                ),
            },
        }
    ),
    "Account": _object(
        {
            "id": _TEXT,
            "state": {"enum": ["active", "arrears", "suspended", "destroyed"]},
            "currency": _TEXT,
            "balance": {**_MONEY, "description": "The total, what is held included"},
            "wallet": _WALLET,
        },
        {
            "transitions": _list(_object({"at": _TIME, "from": _TEXT, "to": _TEXT})),
            "notifications": _list(_object({"at": _TIME, "kind": _TEXT})),
        },
    ),
    "TopUp": _object({}, {"cash": _MONEY_IN, "gift": _MONEY_IN, "income": _MONEY_IN}, is_open=False),
    "TopUpDone": _object({"account": _TEXT, "at": _TIME}),
    "Instance": _object(
        {
            "id": _TEXT,
            "account": _TEXT,
            "type": {"enum": ["shared", "dedicated"]},
            "spec": _MAYBE_TEXT,
            "region": _TEXT,
            "state": _MAYBE_TEXT,
            "serving": _FLAG,
            "limits": _object({"instance": _MAYBE_NUMBER, "service": _MAYBE_NUMBER, "route": _MAYBE_NUMBER}),
            "services": _NUMBER,
            "services_max": _NUMBER,
            "body_max": _MAYBE_NUMBER,
            "started_at": _MAYBE_TIME,
            "ended_at": _MAYBE_TIME,
        }
    ),
    "Service": _object(
        {"id": _TEXT, "instance": _TEXT, "upstream": _object({"targets": _list(_object({"url": _TEXT}))})},
        {
            "hosts": _list(_TEXT),
            "path": _TEXT,
            "strip_path": _FLAG,
            "protocol": {"enum": ["http", "websocket"]},
            "qps": _MAYBE_NUMBER,
            "limit_mode": {"enum": ["enforce", "shadow"]},
            "wait_ms_max": _NUMBER,
            "auth": {"type": "object"},
            "allow": _list(_TEXT),
            "deny": _list(_TEXT),
            "routes": _list(_object({"id": _TEXT, "path": _TEXT}, {"methods": _list(_TEXT), "qps": _MAYBE_NUMBER})),
            "source": {"enum": ["file", "api"], "readOnly": True},
        },
    ),
    "Pack": _object({"account": _TEXT, **_PACK}),
    "PackPurchase": {
        "oneOf": [
            _object({"account": _TEXT, "offer": _TEXT}, {"source": _TEXT}, is_open=False),
            _object(
                {
                    "account": _TEXT,
                    "meter": {"enum": ["calls", "egress"]},
                    "quantity": {"type": "integer", "minimum": 1, "description": "Calls, or bytes"},
                    "months": {"type": "integer", "minimum": 1},
                    "price": {**_MONEY_IN, "description": "For the whole pack"},
                },
                {"source": {"enum": ["purchase", "campaign"]}},
                is_open=False,
            ),
        ]
    },
    "Refund": _object({"account": _TEXT, **_PACK}),
    "Order": _object(
        {
            "account": _TEXT,
            "at": _TIME,
            "kind": {"enum": ["pack", "instance", "renew", "refund"]},
            "ref": _TEXT,
            "list": _MONEY,
            "voucher": _MONEY,
            "gift": _MONEY,
            "income": _MONEY,
            "cash": _MONEY,
        }
    ),
    "Usage": _object(
        {
            "hour": _TIME,
            "account": _TEXT,
            "instance": _TEXT,
            "service": _TEXT,
            "calls": _NUMBER,
            "websocket_connections": _NUMBER,
            "frontend_errors": _COUNTS,
            "backend_errors": _COUNTS,
            "ingress": _NUMBER,
            "egress": _list(_EGRESS),
        }
    ),
    "Traffic": _object(
        {
            "instance": _TEXT,
            "service": _TEXT,
            "calls": _NUMBER,
            "websocket_connections": _NUMBER,
            "frontend_errors": _NUMBER,
            "backend_errors": _NUMBER,
            "ingress": _NUMBER,
            "egress_internet": _NUMBER,
            "egress_vpc": _NUMBER,
        }
    ),
    "AccountBills": _object(_BILLS),
    "Bills": {
        "oneOf": [
            _reference("AccountBills"),
            _object({"accounts": {"type": "object", "additionalProperties": _reference("AccountBills")}}),
        ]
    },
    "BillLine": _object({"account": _TEXT, "id": _NUMBER, **_LINE}),
    "Settlement": _object(
        {
            "account": _TEXT,
            "hour": _TIME,
            "rev": _NUMBER,
            "at": _TIME,
            "bill_month": _TEXT,
            "corrects_month": _MAYBE_TEXT,
            "late": _FLAG,
            "amount": _MONEY,
        }
    ),
}
