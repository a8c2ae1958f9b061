"""Reads an account's book from the store and writes back what the rules did to it, inside one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Select, Table, bindparam, func, insert, select, update

from billing import ledger, rows, tables
from billing.accounts import Account, AccountState
from billing.book import Book, Order
from billing.calendar import LocalCalendar, hour_of
from billing.errors import Refused
from billing.grants import GRANT_UNITS, grant_id, grant_periods
from billing.instances import Instance, InstanceState
from billing.packs import Pack, Source
from billing.rows import Row
from billing.seconds import write_seconds
from metering.tables import dirty

_lock_account = select(tables.account).where(tables.account.c.id == bindparam("account")).with_for_update()
_instances = select(tables.instance).where(tables.instance.c.account == bindparam("account"))
_vouchers = select(tables.voucher).where(tables.voucher.c.account == bindparam("account"), tables.voucher.c.left_e8 > 0)
_first_mark = select(func.min(dirty.c.hour)).where(dirty.c.account == bindparam("account")).scalar_subquery()
_usable_packs = select(tables.pack).where(
    tables.pack.c.account == bindparam("account"),
    tables.pack.c.used < tables.pack.c.total,
    tables.pack.c.is_refunded == 0,
    tables.pack.c.to_hour > func.coalesce(_first_mark, bindparam("through", type_=tables.Int64)),
)
_free_packs = select(tables.pack).where(
    tables.pack.c.account == bindparam("account"), tables.pack.c.source == Source.FREE.value
)
_one_pack = select(tables.pack).where(
    tables.pack.c.account == bindparam("account"), tables.pack.c.id == bindparam("pack")
)

_due = select(tables.account.c.id).where(tables.account.c.due_at <= bindparam("now")).order_by(tables.account.c.id)
_next_due = select(func.min(tables.account.c.due_at))

_states = (
    select(tables.account.c.id, tables.account.c.state, tables.instance.c.state)
    .join(tables.instance, tables.instance.c.account == tables.account.c.id)
    .where(tables.instance.c.id == bindparam("instance"))
)


def _update(table: Table, key: str, columns: tuple[str, ...]) -> Any:
    values: dict[str, Any] = {column: bindparam(f"new_{column}") for column in columns}
    return update(table).where(table.c[key] == bindparam("which")).values(**values)


_ACCOUNT_COLUMNS: Final = (
    "state", "state_at", "alert_e8", "alerted_on", "first_event_at", "has_free_quota", "grants_given",
    "grants_anchor_at", "grants_series", "refund_veto", "acts", "due_at",
)  # fmt: skip
_INSTANCE_COLUMNS: Final = (
    "type", "charge", "spec", "region", "state", "price_e8", "months", "renewals", "started_at", "ended_at",
    "expires_at", "was_refunded", "is_declared", "clocked_to",
    "hold_target_e8", "hold_cash_e8", "hold_income_e8", "hold_gift_e8",
)  # fmt: skip
_PACK_COLUMNS: Final = ("used", "is_refunded", "to_hour")
_VOUCHER_COLUMNS: Final = ("left_e8",)
_UPDATES: Final = {
    "account": (_update(tables.account, "id", _ACCOUNT_COLUMNS), _ACCOUNT_COLUMNS),
    "instance": (_update(tables.instance, "id", _INSTANCE_COLUMNS), _INSTANCE_COLUMNS),
    "pack": (_update(tables.pack, "key", _PACK_COLUMNS), _PACK_COLUMNS),
    "voucher": (_update(tables.voucher, "key", _VOUCHER_COLUMNS), _VOUCHER_COLUMNS),
}


@dataclass(slots=True)
class _Loaded:
    """The rows as they were read, by table and key: only what differs is written back."""

    rows: dict[str, dict[Any, Row]] = field(
        default_factory=lambda: {"account": {}, "instance": {}, "pack": {}, "voucher": {}}
    )


@contextmanager
def open_book(
    connection: Connection,
    account: str,
    calendar: LocalCalendar,
    now: int,
    *,
    packs_through: int | None = None,
    pack_id: str | None = None,
    with_grants: bool = False,
) -> Iterator[Book]:
    """The book of an account, locked; saved when the block ends well. Raises Refused("not_found").

    Free packs that have begun are given first (B17). Of the packs, those are read that can cover an hour marked up
    to `packs_through`, or the one of an id, or all free ones; none otherwise.
    """
    loaded = _Loaded()
    book = _load(connection, account, calendar, loaded)
    _give_grants(connection, book, now)
    if packs_through is not None:
        _read_packs(connection, book, loaded, _usable_packs, {"account": account, "through": packs_through})
    if pack_id is not None:
        _read_packs(connection, book, loaded, _one_pack, {"account": account, "pack": pack_id})
    if with_grants:
        _read_packs(connection, book, loaded, _free_packs, {"account": account})
    yield book
    _save(connection, book, loaded, now)


def add_account(connection: Connection, account: Account) -> None:
    """A new account, with its wallets."""
    connection.execute(
        insert(tables.account),
        {
            "id": account.id,
            "entity": account.entity,
            "currency": account.currency,
            "activated_at": account.activated_at,
            **rows.account_row(account, acts=0, due_at=account.activated_at),
        },
    )
    ledger.open_wallets(connection, account.id, account.currency)


def account_exists(connection: Connection, id: str) -> bool:
    return connection.execute(select(tables.account.c.id).where(tables.account.c.id == id)).first() is not None


def require_account(connection: Connection, id: str) -> None:
    """Raises Refused("not_found")."""
    if not account_exists(connection, id):
        raise Refused("not_found", f"no account {id}")


def add_instance(connection: Connection, instance: Instance) -> None:
    connection.execute(insert(tables.instance), {"account": instance.account, **rows.instance_row(instance)})


def find_pack(connection: Connection, id: str) -> tuple[str, Pack]:
    """A pack and its account. Free grants have the same names in every account: any of them will do."""
    row = connection.execute(select(tables.pack).where(tables.pack.c.id == id).limit(1)).mappings().first()
    if row is None:
        raise Refused("not_found", f"no pack {id}")
    return row["account"], rows.pack_from(row)


def account_of_instance(connection: Connection, id: str) -> str:
    found = connection.execute(select(tables.instance.c.account).where(tables.instance.c.id == id)).scalar()
    if found is None:
        raise Refused("not_found", f"no instance {id}")
    return str(found)


def states_of(connection: Connection, instance: str) -> tuple[str, AccountState, InstanceState]:
    """The account of an instance, its state, and the instance's."""
    row = connection.execute(_states, {"instance": instance}).first()
    if row is None:
        raise Refused("not_found", f"no instance {instance}")
    return row[0], AccountState(row[1]), InstanceState(row[2])


def pack_exists(connection: Connection, id: str) -> bool:
    """Bought packs are named once in a store, so that one can be found by its name alone."""
    return connection.execute(select(tables.pack.c.key).where(tables.pack.c.id == id).limit(1)).first() is not None


def instance_exists(connection: Connection, id: str) -> bool:
    return connection.execute(select(tables.instance.c.id).where(tables.instance.c.id == id)).first() is not None


def voucher_exists(connection: Connection, account: str, id: str) -> bool:
    query = select(tables.voucher.c.key).where(tables.voucher.c.account == account, tables.voucher.c.id == id)
    return connection.execute(query).first() is not None


def accounts_due(connection: Connection, now: int) -> list[str]:
    """Those in which something happens by itself by now."""
    return list(connection.execute(_due, {"now": now}).scalars())


def next_due_at(connection: Connection) -> int | None:
    return connection.execute(_next_due).scalar()


def five_day_used(connection: Connection, entity: str) -> bool:
    """Once for each legal entity, whichever of its accounts it was (B43)."""
    query = select(tables.five_day.c.entity).where(tables.five_day.c.entity == entity)
    return connection.execute(query).first() is not None


def use_five_day(connection: Connection, entity: str, instance: str, at: int) -> None:
    connection.execute(insert(tables.five_day), {"entity": entity, "instance": instance, "at": at})


def orders_for(connection: Connection, account: str, ref: str, kinds: tuple[str, ...], since: int) -> list[Order]:
    """The orders of these kinds about a pack or an instance, since an instant."""
    query = (
        select(tables.orders)
        .where(tables.orders.c.account == account, tables.orders.c.ref == ref)
        .where(tables.orders.c.kind.in_(kinds), tables.orders.c.at >= since)
        .order_by(tables.orders.c.id)
    )
    return [rows.order_from(row) for row in connection.execute(query).mappings()]


def _load(connection: Connection, account: str, calendar: LocalCalendar, loaded: _Loaded) -> Book:
    row = connection.execute(_lock_account, {"account": account}).mappings().first()
    if row is None:
        raise Refused("not_found", f"no account {account}")
    which = {"account": account}
    instances = [rows.instance_from(found) for found in connection.execute(_instances, which).mappings()]
    vouchers = [rows.voucher_from(found) for found in connection.execute(_vouchers, which).mappings()]
    loaded.rows["account"] = {account: {column: row[column] for column in _ACCOUNT_COLUMNS}}
    loaded.rows["instance"] = {instance.id: rows.instance_row(instance) for instance in instances}
    loaded.rows["voucher"] = {voucher.key: rows.voucher_row(voucher) for voucher in vouchers}
    return Book(
        rows.account_from(row),
        ledger.read_wallet(connection, account),
        vouchers,
        [],
        {instance.id: instance for instance in instances},
        calendar,
        acts=row["acts"],
    )


def _read_packs(connection: Connection, book: Book, loaded: _Loaded, query: Select[Any], parameters: Row) -> None:
    book.packs = [rows.pack_from(row) for row in connection.execute(query, parameters).mappings()]
    loaded.rows["pack"] = {pack.key: rows.pack_row(pack) for pack in book.packs}


def _give_grants(connection: Connection, book: Book, now: int) -> None:
    account = book.account
    if not account.has_free_quota:
        return
    due = [
        period
        for period in grant_periods(account.grants_since, book.calendar)[account.grants_given :]
        if period.from_hour <= hour_of(now)
    ]
    for period in due:
        for meter, units in GRANT_UNITS.items():
            pack = Pack(
                0,
                grant_id(meter, period.number, account.grants_series),
                meter,
                Source.FREE,
                units,
                0,
                period.from_hour,
                period.to_hour,
            )
            connection.execute(insert(tables.pack), {"account": account.id, **rows.new_pack_row(pack)})
        account.grants_given = period.number


def _save(connection: Connection, book: Book, loaded: _Loaded, now: int) -> None:
    account, news = book.account, book.news
    owner = {"account": account.id}
    ledger.post(connection, account.id, account.currency, book.wallet.moves, now)
    write_seconds(connection, news.seconds)
    for table, new in (
        (tables.orders, [{**owner, **rows.order_row(order)} for order in news.orders]),
        (tables.pack, [{**owner, **rows.new_pack_row(pack)} for pack in news.packs]),
        (tables.voucher, [{**owner, **rows.new_voucher_row(voucher)} for voucher in news.vouchers]),
        (tables.transition, [{**owner, "at": t.at, "before": t.before, "after": t.after} for t in news.transitions]),
        (tables.outbox, [{**owner, "at": n.at, "kind": n.kind, "payload": "{}"} for n in news.notifications]),
    ):
        if new:
            connection.execute(insert(table), new)
    for instance in book.instances.values():
        if instance.id not in loaded.rows["instance"]:
            add_instance(connection, instance)
    present: dict[str, dict[Any, Row]] = {
        "account": {account.id: rows.account_row(account, book.acts, book.due_at(now))},
        "instance": {instance.id: rows.instance_row(instance) for instance in book.instances.values()},
        "pack": {pack.key: rows.pack_row(pack) for pack in book.packs},
        "voucher": {voucher.key: rows.voucher_row(voucher) for voucher in book.vouchers},
    }
    for name, (statement, columns) in _UPDATES.items():
        before = loaded.rows[name]
        changed = [
            {"which": key, **{f"new_{column}": row[column] for column in columns}}
            for key, row in present[name].items()
            if key in before and before[key] != row
        ]
        if changed:
            connection.execute(statement, changed)
