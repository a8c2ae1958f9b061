"""Settlement of the hours that ended (RULES C.4).

`to bill = rate(everything metered) − everything already billed`. A crash before the commit leaves the hour's
mark, and the next tick does it again; after the commit the mark is gone and the difference is nothing (C.5).
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, cast, delete, func, or_, select

from billing import tables
from billing.among import among
from billing.basis import COUNTER_METERS
from billing.book import Settlement
from billing.books import Books, open_books
from billing.calendar import LocalCalendar, hour_of, hour_start
from billing.charging import INSTANCE_SECONDS, Usage
from billing.errors import LedgerFault
from billing.positions import read_positions, write_positions
from billing.seconds import hours_of, write_seconds
from billing.settling import settle_hour
from billing.terms import Terms
from billing.turns import IS_RUNNING
from billing.upsert import append_rows, insert_or_replace
from metering.tables import counter, dirty

# An hour is settled by then even if a writer has not finished it; the rest is late usage (C.3).
STRAGGLERS_WAIT_S: Final = 20 * 60

AccountHour = tuple[str, int]

_first, _last = bindparam("first", type_=tables.Int64), bindparam("last", type_=tables.Int64)
_counter_key = (counter.c.account, counter.c.hour, counter.c.instance, counter.c.region, counter.c.meter)
_counted = (
    select(*_counter_key, cast(func.sum(counter.c.value), tables.Int64))
    .where(
        among(counter.c.account, "accounts"),
        among(counter.c.hour, "hours"),
        or_(*(counter.c.meter == meter for meter in COUNTER_METERS)),
    )
    .group_by(*_counter_key)
)
_line = tables.line.c
_line_key = (_line.account, _line.hour, _line.instance, _line.region, _line.meter)
_billed = (
    select(*_line_key, cast(func.sum(_line.quantity), tables.Int64))
    .where(among(_line.account, "accounts"), among(_line.hour, "hours"))
    .group_by(*_line_key)
)
_settlement = tables.settlement.c
_last_revs = (
    select(_settlement.account, _settlement.hour, func.max(_settlement.rev))
    .where(among(_settlement.account, "accounts"), among(_settlement.hour, "hours"))
    .group_by(_settlement.account, _settlement.hour)
)
_is_marked = (among(dirty.c.account, "accounts"), dirty.c.hour.between(_first, _last))
# Which marks there were is what the deletion says: one that is set after a look would be lost (C.5).
_take_marks = delete(dirty).where(*_is_marked).returning(dirty.c.account, dirty.c.hour)
# On PostgreSQL locked first, in the order in which writers lock them, so that nobody waits crosswise; and only those
# are deleted: to wait for one that was set meanwhile, with later ones locked, would be crosswise.
_locked = select(dirty).where(*_is_marked).order_by(dirty.c.account, dirty.c.hour).with_for_update().cte("locked")
_take_marks_in_order = (
    delete(dirty)
    .where(dirty.c.account == _locked.c.account, dirty.c.hour == _locked.c.hour)
    .returning(dirty.c.account, dirty.c.hour)
)

_oldest_mark = select(func.min(dirty.c.hour))
_oldest_known_mark = (
    select(func.min(dirty.c.hour))
    .join(tables.account, tables.account.c.id == dirty.c.account)
    .where(dirty.c.hour < bindparam("present"))
)
_oldest_clocked = select(func.min(tables.instance.c.clocked_to)).join(tables.account).where(IS_RUNNING)
_settled_hour = select(tables.settler.c.through_hour)


def last_ready_hour(now: int, ready: Callable[[int], bool]) -> int:
    """The last hour that ended and is complete, or that has waited long enough for stragglers."""
    hour = hour_of(now) - 1
    while not ready(hour) and now < hour_start(hour + 1) + STRAGGLERS_WAIT_S:
        hour -= 1
    return hour


def settle_accounts(
    connection: Connection,
    accounts: Sequence[str],
    first: int,
    last: int,
    settled_before: int,
    terms: Terms,
    calendar: LocalCalendar,
    now: int,
) -> int:
    """Settle what is marked, or runs, from hour `first` to `last`. Returns how many settlements that made.

    All is read, each account is rated and pays by itself (`settle_hour`), all is written: many accounts take no more
    statements than one. Usage of an hour up to `settled_before` comes late: that hour was settled in its time.
    """
    with open_books(connection, accounts, calendar, now) as books:
        marked = _take_hours(connection, books, first, last)
        if not marked:
            return 0
        accounts, hours = sorted({account for account, _ in marked}), sorted({hour for _, hour in marked})
        which = {"accounts": accounts, "hours": hours}
        books.read_usable_packs(hours[0])
        months = [calendar.month_of_hour(hour) for hour in (hours[0], hours[-1])]
        positions = read_positions(connection, accounts, *months)
        revs = {(account, hour): rev for account, hour, rev in connection.execute(_last_revs, which).all()}
        usage = _unbilled(connection, books, marked, which, terms, has_billed=bool(revs))
        settled: list[tuple[str, Settlement]] = []
        for account, hour in sorted(marked):
            book = books[account]
            book.positions = positions[account]
            rev = revs.get((account, hour), 0) + 1
            is_late = hour <= settled_before
            settlement = settle_hour(book, hour, rev, usage[account, hour], terms, now, is_late=is_late)
            if settlement:
                settled.append((account, settlement))
        append_settlements(connection, settled)
        write_positions(connection, positions)
    return len(settled)


def _take_hours(connection: Connection, books: Books, first: int, last: int) -> set[AccountHour]:
    """The hours to settle: what was marked is no more, and what runs is counted. Before the counters are read: what
    grows from here on is marked again (C.5)."""
    which = {"accounts": [book.account.id for book in books], "first": first, "last": last}
    take_marks = _take_marks_in_order if connection.dialect.name == "postgresql" else _take_marks
    marked: set[AccountHour] = {(account, hour) for account, hour in connection.execute(take_marks, which).all()}
    seconds = []
    for book in books:
        book.clock_to(hour_start(last + 1))
        seconds += book.news.seconds
        book.news.seconds.clear()
    write_seconds(connection, seconds)
    return marked | hours_of(seconds)


def _unbilled(
    connection: Connection,
    books: Books,
    marked: Collection[AccountHour],
    which: dict[str, Any],
    terms: Terms,
    *,
    has_billed: bool,
) -> defaultdict[AccountHour, list[Usage]]:
    """Counted minus billed, by account and hour; only what the type of instance pays for (B1, P14)."""
    billed: dict[Any, int] = {}
    if has_billed:
        billed = {tuple(key): units for *key, units in connection.execute(_billed, which).all()}
    usage: defaultdict[AccountHour, list[Usage]] = defaultdict(list)
    for account, hour, id, region, name, counted in connection.execute(_counted, which).all():
        if (account, hour) not in marked:
            continue
        meter = terms.basis.billed_as(name, hour)
        instance = books[account].instances.get(id)
        sku = terms.skus[instance.type].get(meter) if instance and meter else None
        if instance is None or meter is None or sku is None:
            continue
        units = counted - billed.get((account, hour, id, region, meter), 0)
        if units < 0:
            raise LedgerFault(f"{id} {meter} in hour {hour}: more billed than counted")
        price_e8 = instance.price_e8 if meter == INSTANCE_SECONDS else 0
        usage[account, hour].append(Usage(id, region, meter, sku, units, price_e8))
    return usage


def append_settlements(connection: Connection, settled: Iterable[tuple[str, Settlement]]) -> None:
    """Of accounts, with their lines. The keys refuse a revision that is there already (C.5)."""
    settlements: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for account, one in settled:
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
