"""Accounts' books, read from the store and written back together, inside one transaction.

Each kind of row is read by one statement and written by one, for however many accounts: a statement costs more
than its rows do.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, select

from billing import ledger, rows, tables
from billing.among import among
from billing.book import Book
from billing.calendar import LocalCalendar, hour_of, hour_start
from billing.errors import Refused
from billing.grants import GRANT_UNITS, grant_id, grant_periods
from billing.packs import Pack, Source
from billing.rows import Row
from billing.seconds import hours_of, mark_hours, write_seconds
from billing.upsert import append_rows, update_rows

# In order of name, so that two transactions lock in the same order.
_lock_accounts = (
    select(tables.account).where(among(tables.account.c.id, "accounts")).order_by(tables.account.c.id).with_for_update()
)
_instances = select(tables.instance).where(among(tables.instance.c.account, "accounts"))
_vouchers = select(tables.voucher).where(among(tables.voucher.c.account, "accounts"), tables.voucher.c.left_e8 > 0)
_packs = select(tables.pack).where(among(tables.pack.c.account, "accounts"))
_usable_packs = _packs.where(
    tables.pack.c.used < tables.pack.c.total,
    tables.pack.c.is_refunded == 0,
    tables.pack.c.to_hour > bindparam("hour", type_=tables.Int64),
)
_free_packs = _packs.where(tables.pack.c.source == Source.FREE.value)
_one_pack = _packs.where(tables.pack.c.id == bindparam("pack"))

# What may change, by table: its key and its columns.
_CHANGES: Final = {
    tables.account: ("id", (
        "state", "state_at", "alert_e8", "alerted_on", "first_event_at", "has_free_quota", "grants_given",
        "grants_anchor_at", "grants_series", "refund_veto", "acts", "due_at",
    )),
    tables.instance: ("id", (
        "type", "charge", "spec", "region", "state", "price_e8", "months", "renewals", "started_at", "ended_at",
        "expires_at", "was_refunded", "is_declared", "clocked_to",
        "hold_target_e8", "hold_cash_e8", "hold_income_e8", "hold_gift_e8",
    )),
    tables.pack: ("key", ("used", "is_refunded", "to_hour")),
    tables.voucher: ("key", ("left_e8",)),
}  # fmt: skip


class Books:
    """Of some accounts, locked: who else wants one of them waits for the end of the transaction."""

    def __init__(self, connection: Connection, accounts: Sequence[str], calendar: LocalCalendar, now: int) -> None:
        self._connection = connection
        self._calendar = calendar
        self._now = now
        self._by_account: dict[str, Book] = {}
        # The rows as they were read, by table and key: only what differs is written back.
        self._before: dict[Any, dict[Any, Row]] = {table: {} for table in _CHANGES}
        self._load(accounts)

    def __iter__(self) -> Iterator[Book]:
        """In order of the accounts' names."""
        return iter(self._by_account.values())

    def __getitem__(self, account: str) -> Book:
        return self._by_account[account]

    def read_usable_packs(self, hour: int) -> None:
        """Those with something left that can cover this hour or a later one."""
        self._read_packs(_usable_packs, {"hour": hour})

    def read_free_packs(self) -> None:
        self._read_packs(_free_packs, {})

    def read_pack(self, id: str) -> None:
        self._read_packs(_one_pack, {"pack": id})

    def give_grants(self) -> None:
        """Free packs that have begun and were not given yet (B17)."""
        append_rows(self._connection, tables.pack, [row for book in self for row in new_grants(book, self._now)])

    def save(self) -> None:
        """Append what is new, and write what changed."""
        connection, now = self._connection, self._now
        ledger.post(connection, [(book.account, book.wallet.moves) for book in self], now)
        seconds = [piece for book in self for piece in book.news.seconds]
        write_seconds(connection, seconds)
        mark_hours(connection, hours_of(seconds))
        new: dict[Any, list[Row]] = {
            table: [] for table in (tables.orders, tables.pack, tables.voucher, tables.transition, tables.outbox)
        }
        new_instances: list[Row] = []
        present: dict[Any, dict[Any, Row]] = {table: {} for table in _CHANGES}
        for book in self:
            account, news = book.account, book.news
            owner = {"account": account.id}
            new[tables.orders] += [{**owner, **rows.order_row(order)} for order in news.orders]
            new[tables.pack] += [{**owner, **rows.new_pack_row(pack)} for pack in news.packs]
            new[tables.voucher] += [{**owner, **rows.new_voucher_row(voucher)} for voucher in news.vouchers]
            new[tables.transition] += [
                {**owner, "at": t.at, "before": t.before.value, "after": t.after.value} for t in news.transitions
            ]
            new[tables.outbox] += [
                {**owner, **rows.notification_row(told, account.currency)} for told in news.notifications
            ]
            present[tables.account][account.id] = rows.account_row(account, book.acts, book.due_at(now))
            present[tables.pack] |= {pack.key: rows.pack_row(pack) for pack in book.packs}
            present[tables.voucher] |= {voucher.key: rows.voucher_row(voucher) for voucher in book.vouchers}
            for instance in book.instances.values():
                row = rows.instance_row(instance)
                if instance.id in self._before[tables.instance]:
                    present[tables.instance][instance.id] = row
                else:
                    new_instances.append({**owner, **row})
        for table, appended in new.items():
            append_rows(connection, table, appended)
        append_rows(connection, tables.instance, new_instances)
        for table, (key, columns) in _CHANGES.items():
            before = self._before[table]
            changed = [{key: which, **row} for which, row in present[table].items() if before[which] != row]
            differing = [name for name in columns if any(row[name] != before[row[key]][name] for row in changed)]
            update_rows(connection, table, key, tuple(differing), changed)

    def _load(self, accounts: Sequence[str]) -> None:
        which = {"accounts": accounts}
        found = self._connection.execute(_lock_accounts, which).mappings().all()
        wallets = ledger.read_wallets(self._connection, accounts)
        for row in found:
            account = rows.account_from(row)
            self._by_account[account.id] = Book(
                account, wallets[account.id], [], [], {}, self._calendar, acts=row["acts"]
            )
            self._before[tables.account][account.id] = rows.account_row(account, row["acts"], row["due_at"])
        for id in accounts:
            if id not in self._by_account:
                raise Refused("not_found", f"no account {id}")
        for row in self._connection.execute(_instances, which).mappings().all():
            instance = rows.instance_from(row)
            self._by_account[instance.account].instances[instance.id] = instance
            self._before[tables.instance][instance.id] = rows.instance_row(instance)
        for row in self._connection.execute(_vouchers, which).mappings().all():
            voucher = rows.voucher_from(row)
            self._by_account[row["account"]].vouchers.append(voucher)
            self._before[tables.voucher][voucher.key] = rows.voucher_row(voucher)

    def _read_packs(self, query: Select[Any], parameters: Row) -> None:
        which = {"accounts": list(self._by_account), **parameters}
        for row in self._connection.execute(query, which).mappings().all():
            pack = rows.pack_from(row)
            self._by_account[row["account"]].packs.append(pack)
            self._before[tables.pack][pack.key] = rows.pack_row(pack)


def new_grants(book: Book, now: int) -> list[Row]:
    """Rows of the free packs that have begun by now and were not given yet (B17); from here on they were."""
    account = book.account
    if not account.has_free_quota:
        return []
    new: list[Row] = []
    for period in grant_periods(account.grants_since, book.calendar)[account.grants_given :]:
        if period.from_hour > hour_of(now):
            break
        # Given by itself when it begins, however late somebody looks.
        collected_at = max(hour_start(period.from_hour), account.grants_since)
        for meter, units in GRANT_UNITS.items():
            id = grant_id(meter, period.number, account.grants_series)
            hours = period.from_hour, period.to_hour
            pack = Pack(0, id, meter, Source.FREE, units, 0, *hours, collected_at=collected_at)
            new.append({"account": account.id, **rows.new_pack_row(pack)})
        account.grants_given = period.number
    return new


@contextmanager
def open_books(connection: Connection, accounts: Sequence[str], calendar: LocalCalendar, now: int) -> Iterator[Books]:
    """The books of these accounts, saved when the block ends well. Raises Refused("not_found").

    Free packs that have begun are given first (B17); packs are read only when asked for.
    """
    books = Books(connection, accounts, calendar, now)
    books.give_grants()
    yield books
    books.save()


@contextmanager
def open_book(
    connection: Connection,
    account: str,
    calendar: LocalCalendar,
    now: int,
    *,
    pack_id: str | None = None,
    with_grants: bool = False,
) -> Iterator[Book]:
    """The book of one account, with one of its packs, or with all free ones. Raises Refused("not_found")."""
    with open_books(connection, [account], calendar, now) as books:
        if pack_id is not None:
            books.read_pack(pack_id)
        if with_grants:
            books.read_free_packs()
        yield books[account]
