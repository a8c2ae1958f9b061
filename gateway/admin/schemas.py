"""Schemas of the admin API's documents, for /openapi.json. The shapes are those of DESIGN 1.4, 1.6 and 1.2."""

from __future__ import annotations

from typing import Any, Final

from config.money import AMOUNT_MAX_E8, E8
from metering.events import AMOUNT_MAX, TEXT_CHARS_MAX, TYPE

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
NUMBER: Schema = {"type": "integer"}
MAYBE_NUMBER: Schema = {"type": ["integer", "null"]}
FLAG: Schema = {"type": "boolean"}
MONEY: Schema = {"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{8}$"}
MONEY_IN: Schema = {
    "type": "string",
    "pattern": r"^[0-9]{1,10}(\.[0-9]{1,8})?$",
    "description": f"{AMOUNT_MAX_E8 // E8:,} at most",
}
TIME: Schema = {"type": "string", "format": "date-time"}
MAYBE_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
_COUNTS: Schema = {"type": "object", "additionalProperties": {"type": "integer"}}


def object_of(
    required: dict[str, Schema], optional: dict[str, Schema] | None = None, *, is_open: bool = True
) -> Schema:
    schema: Schema = {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }
    if not is_open:
        schema["additionalProperties"] = False
    return schema


def list_of(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def reference_to(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_WALLET = object_of({"cash": MONEY, "gift": MONEY, "income": MONEY, "held": MONEY})
PACK = {
    "id": TEXT,
    "meter": {"enum": ["calls", "egress"]},
    "source": {"enum": ["free", "campaign", "purchase"]},
    "total": NUMBER,
    "used": NUMBER,
    "collected_at": TIME,
    "valid_from": TIME,
    "valid_to": TIME,
    "state": {"enum": ["active", "used_up", "expired", "refunded"]},
}
LINE = {
    "hour": TIME,
    "instance": TEXT,
    "region": TEXT,
    "meter": {"enum": ["calls", "egress_client", "egress_backend", "instance_seconds"]},
    "cover": {"enum": ["free", "pack", "payg", "instance", "adjust"]},
    "tier": MAYBE_NUMBER,
    "quantity": NUMBER,
    "unit_price": TEXT,
    "per": NUMBER,
    "list": MONEY,
    "amount": MONEY,
    "pack": MAYBE_TEXT,
    "late": FLAG,
    "corrects_month": MAYBE_TEXT,
}
_EGRESS = object_of(
    {
        "side": {"enum": ["client", "backend", "refused"]},
        "network": {"enum": ["internet", "vpc"]},
        "basis": {"enum": ["application", "wire"]},
        "bytes": NUMBER,
    }
)
_BILLS = {
    "state": {"enum": ["active", "arrears", "suspended", "destroyed"]},
    "wallet": _WALLET,
    "bills": {
        "type": "object",
        "description": "By local month",
        "additionalProperties": object_of({"total": MONEY, "lines": list_of(object_of(LINE))}),
    },
}
_AMOUNT: Schema = {"type": "integer", "minimum": 0, "maximum": AMOUNT_MAX}
_USAGE_DATA = object_of(
    {"instance": TEXT},
    {
        "service": TEXT,
        "calls": _AMOUNT,
        "websocket_connections": _AMOUNT,
        "ingress": _AMOUNT,
        "egress": list_of(_EGRESS),
    },
    is_open=False,
)
_FAULT = object_of({"path": TEXT, "message": TEXT})

SCHEMAS: Final[dict[str, Schema]] = {
    "Problem": object_of(
        {"type": TEXT, "title": TEXT, "status": NUMBER, "code": TEXT, "detail": TEXT, "request_id": TEXT},
        {"errors": list_of(_FAULT)},
    ),
    "Status": object_of({"status": TEXT}),
    "Node": object_of(
        {
            "node": TEXT,
            "version": TEXT,
            "is_compiled": FLAG,
            "is_ready": FLAG,
            "waiting_settings": {**list_of(TEXT), "description": "Of the file, until the next start"},
            "clock": object_of({"rate": {"type": "number"}, "now": TIME}),
            "pools": {
                "type": "object",
                "additionalProperties": list_of(
                    object_of({"slot": NUMBER, "pid": MAYBE_NUMBER, "is_serving": FLAG, "snapshot": NUMBER})
                ),
            },
        }
    ),
    "Account": object_of(
        {
            "id": TEXT,
            "state": {"enum": ["active", "arrears", "suspended", "destroyed"]},
            "currency": TEXT,
            "balance": {**MONEY, "description": "The total, what is held included"},
            "wallet": _WALLET,
        },
        {
            "transitions": list_of(object_of({"at": TIME, "from": TEXT, "to": TEXT})),
            "notifications": list_of(object_of({"at": TIME, "kind": TEXT})),
        },
    ),
    "TopUp": object_of({}, {"cash": MONEY_IN, "gift": MONEY_IN, "income": MONEY_IN}, is_open=False),
    "TopUpDone": object_of({"account": TEXT, "at": TIME}),
    "Instance": object_of(
        {
            "id": TEXT,
            "account": TEXT,
            "type": {"enum": ["shared", "dedicated"]},
            "spec": MAYBE_TEXT,
            "region": TEXT,
            "state": MAYBE_TEXT,
            "serving": FLAG,
            "not_served": {**MAYBE_TEXT, "description": "Why the configuration leaves it no place; null: it does"},
            "limits": object_of({"instance": MAYBE_NUMBER, "service": MAYBE_NUMBER, "route": MAYBE_NUMBER}),
            "services": NUMBER,
            "services_max": NUMBER,
            "body_max": MAYBE_NUMBER,
            "started_at": MAYBE_TIME,
            "ended_at": MAYBE_TIME,
        }
    ),
    "Service": object_of(
        {"id": TEXT, "instance": TEXT, "upstream": object_of({"targets": list_of(object_of({"url": TEXT}))})},
        {
            "hosts": list_of(TEXT),
            "path": TEXT,
            "strip_path": FLAG,
            "path_case": {"enum": ["exact", "fold"]},
            "trailing_slash": {"enum": ["exact", "ignore"]},
            "path_escapes": {"enum": ["decode", "keep", "refuse"]},
            "merge_slashes": FLAG,
            "location": {"enum": ["keep", "rewrite"]},
            "protocol": {"enum": ["http", "websocket", "any"]},
            "qps": MAYBE_NUMBER,
            "limit_mode": {"enum": ["enforce", "shadow"]},
            "wait_ms_max": NUMBER,
            "auth": {"type": "object"},
            "allow": list_of(TEXT),
            "deny": list_of(TEXT),
            "routes": list_of(object_of({"id": TEXT, "path": TEXT}, {"methods": list_of(TEXT), "qps": MAYBE_NUMBER})),
            "source": {"enum": ["file", "api"], "readOnly": True},
            "not_served": {**MAYBE_TEXT, "readOnly": True, "description": "Why it is not served; null: it is"},
        },
    ),
    "Limit": object_of(
        {
            "level": {"enum": ["instance", "service", "route", "key", "quota"]},
            "instance": TEXT,
            "service": MAYBE_TEXT,
            "route": MAYBE_TEXT,
            "key": MAYBE_TEXT,
            "mode": {"enum": ["enforce", "shadow"]},
            "qps": MAYBE_NUMBER,
            "burst": {"type": ["number", "null"], "description": "Requests at once after a rest, beside one"},
            "admitted_last_second": MAYBE_NUMBER,
            "admitted_last_minute": MAYBE_NUMBER,
            "headroom": {"type": "integer", "description": "Requests that could come at once now; calls of a quota"},
            "quota": {
                "oneOf": [
                    object_of({"calls": NUMBER, "per": {"enum": ["day", "month"]}, "used": NUMBER, "resets_at": TIME}),
                    {"type": "null"},
                ]
            },
        }
    ),
    "Pack": object_of({"account": TEXT, **PACK}, {"meters": list_of(object_of(PACK))}),
    "PackPurchase": {
        "oneOf": [
            object_of({"account": TEXT, "offer": TEXT}, {"source": TEXT}, is_open=False),
            object_of(
                {
                    "account": TEXT,
                    "meter": {"enum": ["calls", "egress"]},
                    "quantity": {"type": "integer", "minimum": 1, "description": "Calls, or bytes"},
                    "months": {"type": "integer", "minimum": 1},
                    "price": {**MONEY_IN, "description": "For the whole pack"},
                },
                {"source": {"enum": ["purchase", "campaign"]}},
                is_open=False,
            ),
            object_of(
                {
                    "account": TEXT,
                    "meters": {
                        "type": "object",
                        "minProperties": 1,
                        "additionalProperties": False,
                        "properties": {name: {"type": "integer", "minimum": 1} for name in ("calls", "egress")},
                    },
                    "months": {"type": "integer", "minimum": 1},
                    "price": {**MONEY_IN, "description": "For the whole pack"},
                },
                {"source": {"enum": ["purchase", "campaign"]}},
                is_open=False,
            ),
        ]
    },
    "Refund": object_of({"account": TEXT, **PACK}, {"meters": list_of(object_of(PACK))}),
    "Order": object_of(
        {
            "account": TEXT,
            "at": TIME,
            "kind": {"enum": ["pack", "instance", "renew", "refund"]},
            "ref": TEXT,
            "list": MONEY,
            "voucher": MONEY,
            "gift": MONEY,
            "income": MONEY,
            "cash": MONEY,
        }
    ),
    "UsageData": _USAGE_DATA,
    "UsageEvent": object_of(
        {
            "specversion": {"enum": ["1.0"]},
            "id": {"type": "string", "maxLength": TEXT_CHARS_MAX},
            "source": {"type": "string", "maxLength": TEXT_CHARS_MAX},
            "type": {"enum": [TYPE]},
            "time": TIME,
            "data": _USAGE_DATA,
        },
    ),
    "Ingested": object_of({"accepted": NUMBER, "duplicates": NUMBER}),
    "Usage": object_of(
        {
            "hour": TIME,
            "account": TEXT,
            "instance": TEXT,
            "service": TEXT,
            "calls": NUMBER,
            "websocket_connections": NUMBER,
            "frontend_errors": _COUNTS,
            "backend_errors": _COUNTS,
            "ingress": NUMBER,
            "egress": list_of(_EGRESS),
        }
    ),
    "Traffic": object_of(
        {
            "instance": TEXT,
            "service": TEXT,
            "calls": NUMBER,
            "websocket_connections": NUMBER,
            "frontend_errors": NUMBER,
            "backend_errors": NUMBER,
            "ingress": NUMBER,
            "egress_internet": NUMBER,
            "egress_vpc": NUMBER,
        }
    ),
    "AccountBills": object_of(_BILLS),
    "Bills": {
        "oneOf": [
            reference_to("AccountBills"),
            object_of({"accounts": {"type": "object", "additionalProperties": reference_to("AccountBills")}}),
        ]
    },
    "BillLine": object_of({"account": TEXT, "id": NUMBER, **LINE}),
    "Settlement": object_of(
        {
            "account": TEXT,
            "hour": TIME,
            "rev": NUMBER,
            "at": TIME,
            "bill_month": TEXT,
            "corrects_month": MAYBE_TEXT,
            "late": FLAG,
            "amount": MONEY,
        },
        {"reason": TEXT},
    ),
}
