"""What people are shown: the documents of DESIGN 1.4, read from the store.

Money is text with 8 decimals, times are UTC with `Z`, months are local.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, select

from billing import rows, tables
from billing.book import Order, Settlement
from billing.calendar import hour_start
from billing.errors import Refused
from billing.ledger import read_wallet
from billing.packs import Pack, state_of
from config.instants import instant_text
from config.money import format_e8

Document = dict[str, Any]
_PAID = ("voucher", "gift", "income", "cash")


def hour_text(hour: int) -> str:
    return instant_text(hour_start(hour))


def unit_price_text(price_e8: int) -> str:
    """As few decimals as it takes: 0.0089."""
    return format_e8(price_e8).rstrip("0").rstrip(".")


def account_ids(connection: Connection) -> list[str]:
    return list(connection.execute(select(tables.account.c.id).order_by(tables.account.c.id)).scalars())


def account_document(
    connection: Connection, account: str, now: int, month: str | None = None, *, with_bills: bool = True
) -> Document:
    """Everything of one account; bills of all months, of one, or none. Raises Refused("not_found")."""
    found = connection.execute(select(tables.account).where(tables.account.c.id == account)).mappings().first()
    if found is None:
        raise Refused("not_found", f"no account {account}")
    document = {
        "state": found["state"],
        "currency": found["currency"],
        "wallet": wallet_document(connection, account),
        "transitions": [
            {"at": instant_text(row["at"]), "from": row["before"], "to": row["after"]}
            for row in _of(connection, account, tables.transition, "id")
        ],
        "notifications": [
            {"at": instant_text(row["at"]), "kind": row["kind"]}
            for row in _of(connection, account, tables.outbox, "id")
        ],
        "packs": pack_documents(connection, account, now),
        "orders": order_documents(connection, account),
        "vouchers": [
            {
                "id": row["id"],
                "total": format_e8(row["total_e8"]),
                "left": format_e8(row["left_e8"]),
                "expires_at": instant_text(row["expires_at"]),
            }
            for row in _of(connection, account, tables.voucher, "key")
        ],
        "instances": instance_documents(connection, account),
    }
    if with_bills:
        document["bills"] = bill_documents(connection, account, month)
    return document


def money_document(amounts_e8: Mapping[str, int]) -> Document:
    return {bucket: format_e8(amount_e8) for bucket, amount_e8 in amounts_e8.items()}


def wallet_document(connection: Connection, account: str) -> Document:
    """Cash, income and gift are net of what is held (P6)."""
    wallet = read_wallet(connection, account)
    free = {bucket: format_e8(wallet.free[bucket]) for bucket in ("cash", "gift", "income")}
    return {**free, "held": format_e8(wallet.held_e8)}


def pack_documents(connection: Connection, account: str, now: int) -> list[Document]:
    found = _of(connection, account, tables.pack, "from_hour", "key")
    return [pack_document(pack, now) for pack in map(rows.pack_from, found)]


def pack_document(pack: Pack, now: int) -> Document:
    return {
        "id": pack.id,
        "meter": pack.meter,
        "source": pack.source.value,
        "total": pack.total,
        "used": pack.used,
        "collected_at": instant_text(pack.collected_at),
        "valid_from": hour_text(pack.from_hour),
        "valid_to": hour_text(pack.to_hour),
        "state": state_of(pack, now).value,
    }


def whole_pack_document(packs: Sequence[Pack], now: int) -> Document:
    """As of its first meter; where it has several, all of them are under `meters` (B31)."""
    documents = [pack_document(pack, now) for pack in packs]
    return {**documents[0], **({"meters": documents} if len(documents) > 1 else {})}


def order_documents(connection: Connection, account: str) -> list[Document]:
    found = _of(connection, account, tables.orders, "id")
    return [order_document(order) for order in map(rows.order_from, found)]


def order_document(order: Order) -> Document:
    return {
        "at": instant_text(order.at),
        "kind": order.kind,
        "ref": order.ref,
        "list": format_e8(order.list_e8),
        "voucher": format_e8(order.payment.voucher_e8),
        "gift": format_e8(order.payment.gift_e8),
        "income": format_e8(order.payment.income_e8),
        "cash": format_e8(order.payment.cash_e8),
    }


def instance_documents(connection: Connection, account: str) -> list[Document]:
    return [
        {
            "id": row["id"],
            "type": row["type"],
            "region": row["region"],
            "spec": row["spec"],
            "charge": row["charge"],
            "state": row["state"],
            "started_at": instant_text(row["started_at"]),
            "ended_at": None if row["ended_at"] is None else instant_text(row["ended_at"]),
            "expires_at": None if row["expires_at"] is None else instant_text(row["expires_at"]),
        }
        for row in _of(connection, account, tables.instance, "started_at", "id")
    ]


def bill_documents(connection: Connection, account: str, month: str | None = None) -> Document:
    """By the month of usage (X27): `{month: {"total", "lines"}}`."""
    totals_e8: dict[str, int] = {}
    lines: dict[str, list[Document]] = {}
    for row in bill_rows(connection, account, month):
        of_month = row["bill_month"]
        totals_e8[of_month] = totals_e8.get(of_month, 0) + row["amount_e8"]
        lines.setdefault(of_month, []).append(line_document(row))
    return {of_month: {"total": format_e8(totals_e8[of_month]), "lines": lines[of_month]} for of_month in sorted(lines)}


def line_documents(connection: Connection, account: str, month: str) -> list[Document]:
    """The lines of one bill, each with the id by which it can be explained, when it was settled, and who paid it."""
    settlements: dict[tuple[int, int], list[RowMapping]] = {}
    for row in bill_rows(connection, account, month):
        settlements.setdefault((row["hour"], row["rev"]), []).append(row)
    return [document for rows_of_one in settlements.values() for document in _paid_lines(rows_of_one)]


def _paid_lines(lines: Sequence[RowMapping]) -> Iterable[Document]:
    """Of one settlement: what paid it is used up line by line, in the order in which money is taken (X26)."""
    left_e8 = {part: int(lines[0][f"paid_{part}_e8"]) for part in _PAID}
    for row in lines:
        amount_e8, paid = row["amount_e8"], {}
        for part in _PAID:
            # An adjustment gives back: its one line has all of it, with the same signs.
            paid[part] = min(left_e8[part], amount_e8) if amount_e8 >= 0 else left_e8[part]
            left_e8[part] -= paid[part]
            amount_e8 -= paid[part]
        yield {
            "id": row["id"],
            **line_document(row),
            "settled_at": instant_text(row["settled_at"]),
            **money_document(paid),
        }


def settlement_documents(connection: Connection, account: str | None, month: str | None) -> list[Document]:
    settlement = tables.settlement.c
    query = select(tables.settlement).order_by(settlement.account, settlement.hour, settlement.rev)
    if account is not None:
        query = query.where(settlement.account == account)
    if month is not None:
        query = query.where(settlement.bill_month == month)
    return [
        settlement_document(
            row["account"],
            Settlement(
                row["hour"],
                row["rev"],
                row["at"],
                row["bill_month"],
                row["corrects_month"],
                bool(row["is_late"]),
                row["amount_e8"],
                rows.payment_from(row),
                (),
                row["reason"],
            ),
        )
        for row in connection.execute(query).mappings()
    ]


def settlement_document(account: str, one: Settlement) -> Document:
    """`reason` only where an operator adjusted."""
    return {
        "account": account,
        "hour": hour_text(one.hour),
        "rev": one.rev,
        "at": instant_text(one.at),
        "bill_month": one.bill_month,
        "corrects_month": one.corrects_month,
        "late": one.is_late,
        "amount": format_e8(one.amount_e8),
        "voucher": format_e8(one.payment.voucher_e8),
        "gift": format_e8(one.payment.gift_e8),
        "income": format_e8(one.payment.income_e8),
        "cash": format_e8(one.payment.cash_e8),
        **({"reason": one.reason} if one.reason else {}),
    }


def _of(connection: Connection, account: str, table: Table, *order: str) -> Iterable[RowMapping]:
    query = select(table).where(table.c.account == account).order_by(*(table.c[column] for column in order))
    return connection.execute(query).mappings()


def bill_rows(
    connection: Connection, account: str, month: str | None, *, line_id: int | None = None
) -> Iterable[RowMapping]:
    """Lines with what their settlement and pack say, in the order of usage."""
    line, settlement = tables.line.c, tables.settlement.c
    query = (
        select(
            tables.line,
            settlement.bill_month,
            settlement.corrects_month,
            settlement.is_late,
            settlement.reason,
            settlement.at.label("settled_at"),
            *(settlement[f"{part}_e8"].label(f"paid_{part}_e8") for part in _PAID),
            tables.pack.c.id.label("pack_id"),
        )
        .join(
            tables.settlement,
            (settlement.account == line.account) & (settlement.hour == line.hour) & (settlement.rev == line.rev),
        )
        .outerjoin(tables.pack, tables.pack.c.key == line.pack)
        .where(line.account == account)
        .order_by(line.hour, line.rev, line.id)
    )
    if month is not None:
        query = query.where(settlement.bill_month == month)
    if line_id is not None:
        query = query.where(line.id == line_id)
    return connection.execute(query).mappings()


def line_document(row: RowMapping) -> Document:
    return {
        "hour": hour_text(row["hour"]),
        "instance": row["instance"],
        "region": row["region"],
        "meter": row["meter"],
        "cover": row["cover"],
        "tier": row["tier"],
        "quantity": row["quantity"],
        "unit_price": unit_price_text(row["unit_price_e8"]),
        "per": row["per"],
        "list": format_e8(row["list_e8"]),
        "amount": format_e8(row["amount_e8"]),
        "pack": row["pack_id"],
        "late": bool(row["is_late"]),
        "corrects_month": row["corrects_month"],
        **({"reason": row["reason"]} if row["reason"] else {}),
    }
