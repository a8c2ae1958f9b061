"""A month of an account on one page: what was used, what covered it, what it cost, what was bought."""

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, select

from billing import tables
from billing.account_ledger import balance_before_e8, top_ups
from billing.calendar import LocalCalendar
from billing.errors import Refused
from billing.ledger import read_wallet
from billing.packs import state_of
from billing.prices import CALLS
from billing.rating import next_tier
from billing.rows import order_from, pack_from
from billing.terms import Terms
from billing.views import Document, bill_rows, hour_text, order_document, unit_price_text
from config.currencies import shown_amount
from config.instants import instant_text
from config.money import format_e8
from metering.sums import exact_sum


def statement(
    connection: Connection, account: str, month: str, terms: Terms, calendar: LocalCalendar, now: int
) -> Document:
    """Of a local month. Raises Refused("not_found")."""
    found = connection.execute(select(tables.account).where(tables.account.c.id == account)).mappings().first()
    if found is None:
        raise Refused("not_found", f"no account {account}")
    begins, ends = calendar.month_bounds(month)
    orders = tables.orders.c
    bought = [
        order_from(row)
        for row in connection.execute(
            select(tables.orders)
            .where(orders.account == account, orders.at >= begins, orders.at < ends)
            .order_by(orders.id)
        ).mappings()
    ]
    charges, usage_e8 = _charges(connection, account, month)
    orders_e8 = sum(order.list_e8 for order in bought)
    total_e8, currency = usage_e8 + orders_e8, found["currency"]
    closes_at = calendar.month_closes_at(month)
    opening_e8 = balance_before_e8(connection, account, currency, month, begins)
    closing_e8 = balance_before_e8(connection, account, currency, calendar.month_of(ends), ends)
    return {
        "number": f"{account}-{month}",
        "issued_at": instant_text(min(now, closes_at)),
        "account": account,
        "entity": found["entity"],
        "month": month,
        "currency": currency,
        "period": {"from": instant_text(begins), "to": instant_text(ends), "timezone": calendar.timezone},
        "state": "closed" if now > closes_at else "open",
        # Usage, and what was bought less what was given back; before any voucher.
        "total": format_e8(total_e8),
        "total_shown": shown_amount(total_e8, currency),
        "usage_total": format_e8(usage_e8),
        "orders_total": format_e8(orders_e8),
        "vouchers": format_e8(_vouchers_e8(connection, account, month) + sum(o.payment.voucher_e8 for o in bought)),
        # opening + top-ups - total + vouchers = closing.
        "opening_balance": format_e8(opening_e8),
        "closing_balance": format_e8(closing_e8),
        "top_ups": top_ups(connection, account, currency, begins, ends),
        "paid": _paid(connection, account, month),
        "charges": charges,
        "packs": _packs_drawn(connection, account, month, now),
        "tier": _tier(connection, account, month, terms, calendar),
        "orders": [order_document(order) for order in bought],
        "balance": format_e8(read_wallet(connection, account).total_e8),
    }


def _charges(connection: Connection, account: str, month: str) -> tuple[list[Document], int]:
    """Lines added up by instance, meter, cover, tier, price and what they correct; in this order."""
    sums: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in bill_rows(connection, account, month):
        key = (
            row["instance"], row["region"], row["meter"], row["cover"], row["tier"] or 0, row["unit_price_e8"],
            row["per"], row["pack_id"] or "", row["corrects_month"] or "", row["reason"] or "",
        )  # fmt: skip
        for index, value in enumerate((row["quantity"], row["list_e8"], row["amount_e8"])):
            sums[key][index] += value
    charges = [
        {
            "instance": key[0],
            "region": key[1],
            "meter": key[2],
            "cover": key[3],
            "tier": key[4] or None,
            "unit_price": unit_price_text(key[5]),
            "per": key[6],
            "pack": key[7] or None,
            "corrects_month": key[8] or None,
            "reason": key[9] or None,
            "quantity": quantity,
            "list": format_e8(list_e8),
            "amount": format_e8(amount_e8),
        }
        for key, (quantity, list_e8, amount_e8) in sorted(sums.items())
    ]
    return charges, sum(amount_e8 for _, _, amount_e8 in sums.values())


def _vouchers_e8(connection: Connection, account: str, month: str) -> int:
    settlement = tables.settlement.c
    query = select(exact_sum(settlement.voucher_e8))
    return int(
        connection.execute(query.where(settlement.account == account, settlement.bill_month == month)).scalar_one()
    )


def _paid(connection: Connection, account: str, month: str) -> Document:
    settlement = tables.settlement.c
    parts = ("voucher", "gift", "income", "cash")
    sums = [exact_sum(settlement[f"{part}_e8"]) for part in parts]
    query = select(*sums).where(settlement.account == account, settlement.bill_month == month)
    return {part: format_e8(e8) for part, e8 in zip(parts, connection.execute(query).one(), strict=True)}


def _packs_drawn(connection: Connection, account: str, month: str, now: int) -> list[Document]:
    drawn: defaultdict[int, int] = defaultdict(int)
    for row in bill_rows(connection, account, month):
        if row["pack"] is not None:
            drawn[row["pack"]] += row["quantity"]
    packs = connection.execute(select(tables.pack).where(tables.pack.c.account == account).order_by(tables.pack.c.key))
    return [
        {
            "id": pack.id,
            "meter": pack.meter,
            "drawn": drawn[pack.key],
            "left": pack.left,
            "total": pack.total,
            "valid_to": hour_text(pack.to_hour),
            "state": state_of(pack, now).value,
        }
        for pack in map(pack_from, packs.mappings())
        if pack.key in drawn
    ]


def _tier(connection: Connection, account: str, month: str, terms: Terms, calendar: LocalCalendar) -> Document:
    """How far the month's paid calls climbed (B22), and the tier the next one would be in."""
    ladder = tables.ladder.c
    query = select(ladder.units).where(ladder.account == account, ladder.sku == CALLS, ladder.month == month)
    units = connection.execute(query).scalar() or 0
    price = terms.prices.in_force(CALLS, None, calendar.month_hours(month)[1] - 1)
    return {"paid_calls": units, "tier": next_tier(price.tiers, units)}
