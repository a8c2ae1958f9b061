"""From a bill line to everything behind it: the hour's counters, the price, the tier, the pack, the rounding."""

from typing import Any

from sqlalchemy import Connection, func, select

from billing import tables
from billing.calendar import LocalCalendar
from billing.errors import Refused
from billing.price_rows import read_basis, read_prices
from billing.prices import CALLS
from billing.rounding import R
from billing.rows import pack_from
from billing.views import Document, bill_rows, hour_text, line_document, pack_document, unit_price_text
from config.money import format_e8
from metering.sums import exact_sum
from metering.tables import counter


def explanation(connection: Connection, id: int, calendar: LocalCalendar, now: int) -> Document:
    """Raises Refused("not_found")."""
    line = tables.line.c
    found = connection.execute(select(line.account).where(line.id == id)).scalar()
    if found is None:
        raise Refused("not_found", f"no line {id}")
    (row,) = bill_rows(connection, found, None, line_id=id)
    document: Document = {
        "line": {"id": id, "account": row["account"], "bill_month": row["bill_month"], **line_document(row)},
        "revision": row["rev"],
        "counters": _counters(connection, row),
        "billed_by_other_lines": _billed_else(connection, row),
    }
    if row["price"] is not None:
        document["price"] = _price(connection, row)
    if row["cover"] == "payg":
        document["month"] = _rounding(connection, row, calendar)
    if row["pack"] is not None:
        pack = connection.execute(select(tables.pack).where(tables.pack.c.key == row["pack"])).mappings().one()
        document["pack"] = pack_document(pack_from(pack), now)
    return document


def _counters(connection: Connection, row: Any) -> list[Document]:
    """What the writers counted for the line's hour, instance and meter."""
    basis = read_basis(connection)
    c = counter.c
    query = select(c.writer, c.service, c.meter, c.value).where(
        c.account == row["account"], c.hour == row["hour"], c.instance == row["instance"]
    )
    return [
        {"writer": writer, "service": service, "meter": meter, "value": value}
        for writer, service, meter, value in connection.execute(query.order_by(c.writer, c.service, c.meter))
        if basis.billed_as(meter, row["hour"]) == row["meter"]
    ]


def _billed_else(connection: Connection, row: Any) -> int:
    """Units of the same hour, instance and meter that other lines bill: all together they are what was counted."""
    line = tables.line.c
    query = select(exact_sum(line.quantity)).where(
        line.account == row["account"], line.hour == row["hour"], line.instance == row["instance"],
        line.meter == row["meter"], line.id != row["id"],
    )  # fmt: skip
    return int(connection.execute(query).scalar_one())


def _price(connection: Connection, row: Any) -> Document:
    price = next(one for one in read_prices(connection).versions() if one.id == row["price"])
    return {
        "id": price.id,
        "from": hour_text(price.from_hour),
        "per": price.per,
        "tiers": [[tier.up_to, unit_price_text(tier.price_e8)] for tier in price.tiers],
    }


def _rounding(connection: Connection, row: Any, calendar: LocalCalendar) -> Document:
    """Where in its month the line stands: amounts are differences of rounded totals (P2, G9)."""
    line = tables.line.c
    month = calendar.month_of_hour(row["hour"])
    begins, ends = calendar.month_hours(month)
    before = select(exact_sum(line.quantity)).where(
        line.account == row["account"], line.cover == "payg", line.id < row["id"],
        line.hour >= begins, line.hour < ends,
    )  # fmt: skip
    same = before.where(line.price == row["price"], func.coalesce(line.tier, 1) == (row["tier"] or 1))
    quantity = int(connection.execute(same).scalar_one())
    price_e8, per = row["unit_price_e8"], row["per"]
    document = {
        "month": month,
        "quantity_before": quantity,
        "amount_before": format_e8(R(quantity, price_e8, per)),
        "amount_after": format_e8(R(quantity + row["quantity"], price_e8, per)),
    }
    if row["meter"] == CALLS:
        document["calls_before"] = int(connection.execute(before.where(line.meter == CALLS)).scalar_one())
    return document
