"""Rows of the store and what they stand for, both ways. Nothing is decided here."""

import json
from datetime import date
from typing import Any

from sqlalchemy import RowMapping

from billing.accounts import Account, AccountState, Notification
from billing.book import Order
from billing.instances import Charge, Instance, InstanceState
from billing.packs import Pack, Source
from billing.vouchers import Voucher
from billing.wallet import BUCKETS, Hold, Payment
from config.instants import instant_text
from config.money import format_e8

Row = dict[str, Any]


def account_from(row: RowMapping) -> Account:
    return Account(
        row["id"],
        row["entity"],
        row["currency"],
        row["activated_at"],
        AccountState(row["state"]),
        row["state_at"],
        bool(row["has_free_quota"]),
        row["alert_e8"],
        date.fromisoformat(row["alerted_on"]) if row["alerted_on"] else None,
        row["first_event_at"],
        row["grants_given"],
        row["grants_anchor_at"],
        row["grants_series"],
        bool(row["refund_veto"]),
    )


def account_row(account: Account, acts: int, due_at: int | None) -> Row:
    return {
        "state": account.state.value,
        "state_at": account.state_at,
        "alert_e8": account.alert_e8,
        "alerted_on": account.alerted_on.isoformat() if account.alerted_on else None,
        "first_event_at": account.first_event_at,
        "grants_given": account.grants_given,
        "grants_anchor_at": account.grants_anchor_at,
        "grants_series": account.grants_series,
        "refund_veto": int(account.is_refund_vetoed),
        "has_free_quota": int(account.has_free_quota),
        "acts": acts,
        "due_at": due_at,
    }


def instance_from(row: RowMapping) -> Instance:
    return Instance(
        row["id"],
        row["account"],
        row["type"],
        Charge(row["charge"]),
        row["spec"],
        row["region"],
        InstanceState(row["state"]),
        row["started_at"],
        row["price_e8"],
        row["months"],
        row["renewals"],
        row["ended_at"],
        row["expires_at"],
        bool(row["was_refunded"]),
        bool(row["is_declared"]),
        row["clocked_to"],
        Hold(row["hold_target_e8"], {bucket: row[f"hold_{bucket}_e8"] for bucket in BUCKETS}),
    )


def instance_row(instance: Instance) -> Row:
    return {
        "id": instance.id,
        "type": instance.type,
        "charge": instance.charge.value,
        "spec": instance.spec,
        "region": instance.region,
        "state": instance.state.value,
        "price_e8": instance.price_e8,
        "months": instance.months,
        "renewals": instance.renewals,
        "started_at": instance.started_at,
        "ended_at": instance.ended_at,
        "expires_at": instance.expires_at,
        "was_refunded": int(instance.was_refunded),
        "is_declared": int(instance.is_declared),
        "clocked_to": instance.clocked_to,
        "hold_target_e8": instance.hold.target_e8,
        "hold_cash_e8": instance.hold.held_e8["cash"],
        "hold_income_e8": instance.hold.held_e8["income"],
        "hold_gift_e8": instance.hold.held_e8["gift"],
    }


def pack_from(row: RowMapping) -> Pack:
    return Pack(
        row["key"],
        row["id"],
        row["meter"],
        Source(row["source"]),
        row["total"],
        row["used"],
        row["from_hour"],
        row["to_hour"],
        bool(row["is_refunded"]),
        row["collected_at"],
    )


def pack_row(pack: Pack) -> Row:
    return {"used": pack.used, "is_refunded": int(pack.is_refunded), "to_hour": pack.to_hour}


def new_pack_row(pack: Pack) -> Row:
    return {
        "id": pack.id,
        "meter": pack.meter,
        "source": pack.source.value,
        "total": pack.total,
        "from_hour": pack.from_hour,
        "collected_at": pack.collected_at,
        **pack_row(pack),
    }


def voucher_from(row: RowMapping) -> Voucher:
    return Voucher(row["key"], row["id"], row["total_e8"], row["left_e8"], row["expires_at"])


def voucher_row(voucher: Voucher) -> Row:
    return {"left_e8": voucher.left_e8}


def new_voucher_row(voucher: Voucher) -> Row:
    return {
        "id": voucher.id,
        "total_e8": voucher.total_e8,
        "expires_at": voucher.expires_at,
        **voucher_row(voucher),
    }


def notification_row(told: Notification, currency: str) -> Row:
    balance_e8, threshold_e8, step = told.balance_e8, told.threshold_e8, told.next
    payload = {
        "currency": currency,
        "balance": format_e8(balance_e8),
        "debt": format_e8(max(0, -balance_e8)),
        "threshold": None if threshold_e8 is None else format_e8(threshold_e8),
        "next": None if step is None else {"kind": step.kind, "at": instant_text(step.at)},
    }
    return {"at": told.at, "kind": told.kind, "payload": json.dumps(payload)}


def order_row(order: Order) -> Row:
    return {
        "at": order.at,
        "kind": order.kind,
        "ref": order.ref,
        "list_e8": order.list_e8,
        "voucher_e8": order.payment.voucher_e8,
        "gift_e8": order.payment.gift_e8,
        "income_e8": order.payment.income_e8,
        "cash_e8": order.payment.cash_e8,
    }


def order_from(row: RowMapping) -> Order:
    return Order(row["at"], row["kind"], row["ref"], row["list_e8"], payment_from(row))


def payment_from(row: RowMapping) -> Payment:
    return Payment(row["voucher_e8"], row["gift_e8"], row["income_e8"], row["cash_e8"])
