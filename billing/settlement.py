"""Settlement of the hours that ended: one transaction for each account (RULES C.4).

`to bill = rate(everything metered) − everything already billed`. A crash before the commit leaves the hour's
mark, and the next tick does it again; after the commit the mark is gone and the difference is nothing (C.5).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, or_, select

from billing import tables
from billing.accounts import SERVED
from billing.basis import COUNTER_METERS
from billing.book import Book, Settlement
from billing.calendar import LocalCalendar, hour_of, hour_start
from billing.charging import INSTANCE_SECONDS, Usage
from billing.errors import LedgerFault
from billing.instances import Charge, InstanceState
from billing.positions import read_positions, write_positions
from billing.seconds import write_seconds
from billing.settling import settle_hour
from billing.store import open_book
from billing.terms import Terms
from billing.upsert import append_rows, insert_or_replace
from metering.tables import counter, dirty

# Marked hours within this span are one transaction: bounds memory and the time others wait after a long absence.
SPAN_HOURS_MAX: Final = 24 * 7
# An hour is settled by then even if a writer has not finished it; the rest is late usage (C.3).
STRAGGLERS_WAIT_S: Final = 20 * 60

_first, _last = bindparam("first", type_=tables.Int64), bindparam("last", type_=tables.Int64)
_counted = (
    select(
        counter.c.hour, counter.c.instance, counter.c.region, counter.c.meter, func.sum(counter.c.value).label("units")
    )
    .where(
        counter.c.account == bindparam("account"),
        counter.c.hour.between(_first, _last),
        or_(*(counter.c.meter == meter for meter in COUNTER_METERS)),
    )
    .group_by(counter.c.hour, counter.c.instance, counter.c.region, counter.c.meter)
)
_line = tables.line.c
_billed = (
    select(_line.hour, _line.instance, _line.region, _line.meter, func.sum(_line.quantity).label("units"))
    .where(_line.account == bindparam("account"), _line.hour.between(_first, _last))
    .group_by(_line.hour, _line.instance, _line.region, _line.meter)
)
_settlement = tables.settlement.c
_last_revs = (
    select(_settlement.hour, func.max(_settlement.rev))
    .where(_settlement.account == bindparam("account"), _settlement.hour.between(_first, _last))
    .group_by(_settlement.hour)
)
_first_mark = select(func.min(dirty.c.hour)).where(
    dirty.c.account == bindparam("account"), dirty.c.hour <= bindparam("through")
)
# Which marks there were is what the deletion says: one that is set after a look would be lost (C.5).
_take_marks = (
    delete(dirty)
    .where(dirty.c.account == bindparam("account"), dirty.c.hour.between(_first, _last))
    .returning(dirty.c.hour)
)

_instance, _account = tables.instance.c, tables.account.c
_is_running = (
    (_instance.charge == Charge.PAYG)
    & (_instance.state == InstanceState.ACTIVE)
    & or_(*(_account.state == state for state in sorted(SERVED)))
)
_to_settle = (
    select(_account.id)
    .where(
        _account.id.in_(select(dirty.c.account).where(dirty.c.hour <= bindparam("through")))
        | _account.id.in_(
            select(_instance.account).join(tables.account).where(_is_running, _instance.clocked_to < bindparam("end"))
        )
    )
    .order_by(_account.id)
)
_oldest_mark = select(func.min(dirty.c.hour))
_oldest_known_mark = (
    select(func.min(dirty.c.hour))
    .join(tables.account, _account.id == dirty.c.account)
    .where(dirty.c.hour < bindparam("present"))
)
_oldest_clocked = select(func.min(_instance.clocked_to)).join(tables.account).where(_is_running)
_settled_hour = select(tables.settler.c.through_hour)


def last_ready_hour(now: int, ready: Callable[[int], bool]) -> int:
    """The last hour that ended and is complete, or that has waited long enough for stragglers."""
    hour = hour_of(now) - 1
    while not ready(hour) and now < hour_start(hour + 1) + STRAGGLERS_WAIT_S:
        hour -= 1
    return hour


def accounts_to_settle(connection: Connection, through: int) -> list[str]:
    """With usage that is not billed, or with instances whose seconds are not counted yet."""
    parameters = {"through": through, "end": hour_start(through + 1)}
    return list(connection.execute(_to_settle, parameters).scalars())


def settle_account(
    connection: Connection,
    account: str,
    through: int,
    settled_before: int,
    terms: Terms,
    calendar: LocalCalendar,
    now: int,
) -> tuple[list[Settlement], bool]:
    """Settle marked hours up to `through`. Returns the settlements, and whether hours may be left for another turn.

    Usage of an hour up to `settled_before` comes late: that hour was settled in its time.
    """
    with open_book(connection, account, calendar, now, packs_through=through) as book:
        book.clock_to(hour_start(through + 1))
        write_seconds(connection, book.news.seconds)
        book.news.seconds.clear()
        first = connection.execute(_first_mark, {"account": account, "through": through}).scalar()
        if first is None:
            return [], False
        span = {"account": account, "first": first, "last": min(through, first + SPAN_HOURS_MAX - 1)}
        # Before the counters are read: what grows from here on is marked again (C.5).
        hours = sorted(connection.execute(_take_marks, span).scalars())
        months = [calendar.month_of_hour(hour) for hour in (hours[0], hours[-1])]
        book.positions = read_positions(connection, account, *months)
        usage = _unbilled(connection, book, span, terms)
        revs = dict(connection.execute(_last_revs, span).all())
        settled = []
        for hour in hours:
            is_late = hour <= settled_before
            rev = revs.get(hour, 0) + 1
            settlement = settle_hour(book, hour, rev, usage[hour], terms, now, is_late=is_late)
            if settlement:
                settled.append(settlement)
        append_settlements(connection, account, settled)
        write_positions(connection, account, book.positions)
    return settled, span["last"] < through


def _unbilled(connection: Connection, book: Book, span: dict[str, Any], terms: Terms) -> defaultdict[int, list[Usage]]:
    """Counted minus billed, by hour; only what the type of instance pays for (B1, P14)."""
    billed = {
        (row.hour, row.instance, row.region, row.meter): int(row.units) for row in connection.execute(_billed, span)
    }
    usage: defaultdict[int, list[Usage]] = defaultdict(list)
    for row in connection.execute(_counted, span):
        meter = terms.basis.billed_as(row.meter, row.hour)
        instance = book.instances.get(row.instance)
        sku = terms.skus[instance.type].get(meter) if instance and meter else None
        if instance is None or meter is None or sku is None:
            continue
        units = int(row.units) - billed.get((row.hour, row.instance, row.region, meter), 0)
        if units < 0:
            raise LedgerFault(f"{row.instance} {meter} in hour {row.hour}: more billed than counted")
        price_e8 = instance.price_e8 if meter == INSTANCE_SECONDS else 0
        usage[row.hour].append(Usage(row.instance, row.region, meter, sku, units, price_e8))
    return usage


def append_settlements(connection: Connection, account: str, settled: Iterable[Settlement]) -> None:
    """With their lines. The keys refuse a revision that is there already (C.5)."""
    settlements: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for one in settled:
        key = {"account": account, "hour": one.hour, "rev": one.rev}
        settlements.append(
            {
                **key,
                "at": one.at,
                "bill_month": one.bill_month,
                "corrects_month": one.corrects_month,
                "is_late": int(one.is_late),
                "amount_e8": one.amount_e8,
                "voucher_e8": one.payment.voucher_e8,
                "gift_e8": one.payment.gift_e8,
                "income_e8": one.payment.income_e8,
                "cash_e8": one.payment.cash_e8,
                "reason": one.reason,
            }
        )
        for line in one.lines:
            lines.append(
                {
                    **key,
                    "instance": line.instance,
                    "region": line.region,
                    "meter": line.meter,
                    "cover": line.cover,
                    "price": line.price_id,
                    "tier": line.tier,
                    "pack": line.pack_key,
                    "quantity": line.quantity,
                    "unit_price_e8": line.unit_price_e8,
                    "per": line.per,
                    "list_e8": line.list_e8,
                    "amount_e8": line.amount_e8,
                }
            )
    append_rows(connection, tables.settlement, settlements)
    append_rows(connection, tables.line, lines)


def next_settlement_at(connection: Connection) -> int | None:
    """When the oldest hour that has a mark, or in which an instance runs, is over."""
    marked_hour = connection.execute(_oldest_mark).scalar()
    clocked_to = connection.execute(_oldest_clocked).scalar()
    hours = [marked_hour, None if clocked_to is None else hour_of(clocked_to)]
    return min((hour_start(hour + 1) for hour in hours if hour is not None), default=None)


def oldest_unsettled_hour(connection: Connection, now: int) -> int | None:
    """The oldest ended hour with usage that is not billed yet."""
    return connection.execute(_oldest_known_mark, {"present": hour_of(now)}).scalar()


def read_settled_hour(connection: Connection) -> int:
    """The last hour that was settled in its time; what comes for it or for earlier ones is late."""
    return connection.execute(_settled_hour).scalar() or 0


def write_settled_hour(connection: Connection, through: int) -> None:
    statement = insert_or_replace(connection, tables.settler, "through_hour")
    connection.execute(statement, {"id": 1, "through_hour": through})
