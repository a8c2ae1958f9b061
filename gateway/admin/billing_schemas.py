"""Schemas of what moves money, and of what is behind a bill, for /openapi.json."""

from __future__ import annotations

from typing import Final

from gateway.admin.schemas import (
    FLAG,
    LINE,
    MAYBE_NUMBER,
    MAYBE_TEXT,
    MONEY,
    MONEY_IN,
    NUMBER,
    PACK,
    TEXT,
    TIME,
    Schema,
    list_of,
    object_of,
)

_METERS: Schema = {"enum": ["calls", "egress_client", "egress_backend", "instance_seconds"]}
_MONTHS: Schema = {"type": "integer", "minimum": 1, "maximum": 60}
_PAID = object_of({"voucher": MONEY, "gift": MONEY, "income": MONEY, "cash": MONEY})
_CHARGE: dict[str, Schema] = {
    **{name: LINE[name] for name in ("instance", "region", "meter", "cover", "tier", "unit_price", "per", "pack")},
    "quantity": NUMBER,
    "list": MONEY,
    "amount": MONEY,
    "corrects_month": MAYBE_TEXT,
    "reason": MAYBE_TEXT,
}

SCHEMAS: Final[dict[str, Schema]] = {
    "Done": object_of({"account": TEXT}, {"id": TEXT, "at": TIME, "serving": FLAG}),
    "VoucherGrant": object_of({"id": TEXT, "amount": MONEY_IN, "expires_at": TIME}, is_open=False),
    "Adjustment": object_of(
        {"hour": TIME, "instance": TEXT, "meter": _METERS, "amount": MONEY_IN, "reason": {**TEXT, "minLength": 3}},
        is_open=False,
    ),
    "InstancePurchase": object_of(
        {"account": TEXT, "id": TEXT, "spec": TEXT, "region": TEXT},
        {
            "charge": {"oneOf": [{"enum": ["payg"]}, object_of({"prepaid_months": _MONTHS}, is_open=False)]},
            "price": {**MONEY_IN, "description": "A second, or a month; else the price book's"},
            "entry": {
                **list_of(
                    object_of({"bind": TEXT}, {"network": {"enum": ["internet", "vpc"]}, "tls": {"type": "object"}})
                ),
                "minItems": 1,
                "description": "Where it serves, as in the file; without one, once the file has it under the same id",
            },
            "qps": NUMBER,
            "workers": NUMBER,
            "body_max": TEXT,
            "egress_ip": TEXT,
            "access_log": {"type": "number", "minimum": 0, "maximum": 1},
        },
        is_open=False,
    ),
    "Renewal": object_of({"months": _MONTHS}, is_open=False),
    "VetoWish": object_of({"vetoed": FLAG}, is_open=False),
    "Veto": object_of({"account": TEXT, "vetoed": FLAG}),
    "WhatIfWish": object_of(
        {"month": TEXT},
        {
            "price_book": {"enum": ["usd", "cny"]},
            "pack": object_of(
                {"meter": {"enum": ["calls", "egress"]}, "quantity": NUMBER, "months": _MONTHS, "price": MONEY_IN},
                is_open=False,
            ),
            "spec": TEXT,
        },
        is_open=False,
    ),
    "WhatIf": object_of(
        {
            "account": TEXT,
            "month": TEXT,
            "currency": TEXT,
            "actual": MONEY,
            "what_if": MONEY,
            "difference": MONEY,
            "parts": object_of({"usage": MONEY, "instances": MONEY, "pack": MONEY}),
        }
    ),
    "Explanation": object_of(
        {
            "line": object_of({"id": NUMBER, "account": TEXT, "bill_month": TEXT, **LINE}),
            "revision": NUMBER,
            "counters": list_of(object_of({"writer": TEXT, "service": TEXT, "meter": TEXT, "value": NUMBER})),
            "billed_by_other_lines": NUMBER,
        },
        {
            "price": object_of({"id": NUMBER, "from": TIME, "per": NUMBER, "tiers": list_of({"type": "array"})}),
            "month": object_of(
                {"month": TEXT, "quantity_before": NUMBER, "amount_before": MONEY, "amount_after": MONEY},
                {"calls_before": NUMBER},
            ),
            "pack": object_of(PACK),
        },
    ),
    "FocusRow": object_of(
        {"BilledCost": MONEY, "BillingAccountId": TEXT, "BillingCurrency": TEXT, "ChargeCategory": TEXT},
        {"InvoiceId": TEXT},
    ),
    "Statement": object_of(
        {
            "account": TEXT,
            "month": TEXT,
            "currency": TEXT,
            "number": TEXT,
            "issued_at": TIME,
            "seller": MAYBE_TEXT,
            "tax": MAYBE_TEXT,
            "state": {"enum": ["open", "closed"]},
            "total": MONEY,
            "usage_total": MONEY,
            "orders_total": MONEY,
            "vouchers": MONEY,
            "opening_balance": MONEY,
            "closing_balance": MONEY,
            "top_ups": list_of(object_of({"at": TIME, "cash": MONEY, "income": MONEY, "gift": MONEY})),
            "paid": _PAID,
            "charges": list_of(object_of(_CHARGE)),
            "packs": list_of(object_of({"id": TEXT, "meter": TEXT, "drawn": NUMBER, "left": NUMBER, "total": NUMBER})),
            "tier": object_of({"paid_calls": NUMBER, "tier": MAYBE_NUMBER}),
            "orders": list_of({"type": "object"}),
            "availability": list_of(
                object_of(
                    {
                        "instance": TEXT,
                        "received": NUMBER,
                        "failed": NUMBER,
                        "availability": MAYBE_TEXT,
                        "sla": MAYBE_TEXT,
                    }
                )
            ),
        }
    ),
    "Transfer": object_of(
        {"id": NUMBER, "at": TIME, "kind": TEXT, "journal": TEXT, "debit": TEXT, "credit": TEXT, "amount": MONEY}
    ),
    "Finding": object_of({"finding": TEXT}),
}
