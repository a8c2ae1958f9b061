"""An account's ledger as it can be looked at: transfers, money that came in, and what it stood at when a month began.

A balance of a statement counts each bill with its month, whenever the hour came to be settled: so a month's movements
are what lies between its two balances.
"""

from typing import Any, Final

from sqlalchemy import Connection, RowMapping, or_, select, text

from billing import tables
from billing.ledger import wallet_id
from billing.views import Document
from billing.wallet import BUCKETS, REVENUE, SOURCES, hold_of
from config.instants import instant_text
from config.money import format_e8
from metering.sums import exact_sum

TRANSFERS_MAX: Final = 1000  # at once; the rest after the last of them
_OWN: Final = (*BUCKETS, *(hold_of(bucket) for bucket in BUCKETS))

_transfer = tables.transfer.c


def transfers(
    connection: Connection, account: str, begins: int | None, ends: int | None, after: int
) -> tuple[list[Document], int | None]:
    """Those of the account, by id, between two instants, half-open; with the id to go on after where there are more."""
    own = [wallet_id(account, "", bucket) for bucket in _OWN]
    query = select(tables.transfer).where(
        or_(_transfer.debit.in_(own), _transfer.credit.in_(own)), _transfer.id > after
    )
    if begins is not None:
        query = query.where(_transfer.at >= begins)
    if ends is not None:
        query = query.where(_transfer.at < ends)
    rows = connection.execute(query.order_by(_transfer.id).limit(TRANSFERS_MAX + 1)).mappings().all()
    found = [_document(row) for row in rows[:TRANSFERS_MAX]]
    return found, found[-1]["id"] if len(rows) > TRANSFERS_MAX else None


def _document(row: RowMapping) -> Document:
    """`debit` and `credit`: a bucket of the account, or one of the currency's own wallets."""
    kind = row["journal"].partition(":")[0]
    ends = {end: row[end].rpartition(":")[2] for end in ("debit", "credit")}
    amount = format_e8(row["amount_e8"])
    return {
        "id": row["id"],
        "at": instant_text(row["at"]),
        "kind": kind,
        "journal": row["journal"],
        **ends,
        "amount": amount,
    }


def top_ups(connection: Connection, account: str, currency: str, begins: int, ends: int) -> list[Document]:
    """Money that was paid in between two instants: one for each top-up, by bucket."""
    found: dict[str, Document] = {}
    query = _paid_in(account, currency, _transfer.journal, _transfer.at, _transfer.credit, _transfer.amount_e8)
    between = query.where(_transfer.at >= begins, _transfer.at < ends).order_by(_transfer.id)
    for journal, at, credit, amount_e8 in connection.execute(between):
        one = found.setdefault(
            journal.rpartition(":")[0], {"at": instant_text(at), **dict.fromkeys(BUCKETS, "0.00000000")}
        )
        one[credit.rpartition(":")[2]] = format_e8(amount_e8)
    return list(found.values())


def balance_before_e8(connection: Connection, account: str, currency: str, month: str, begins: int) -> int:
    """What there was, or was owed, before a month: paid in, less bills of earlier months and earlier orders."""
    paid_in = connection.execute(
        _paid_in(account, currency, exact_sum(_transfer.amount_e8)).where(_transfer.at < begins)
    )
    settlement, orders = tables.settlement.c, tables.orders.c
    spent_e8 = 0
    for table, which in (
        (settlement, (settlement.account == account, settlement.bill_month < month)),
        (orders, (orders.account == account, orders.at < begins)),
    ):
        sums = [exact_sum(table[f"{bucket}_e8"]) for bucket in BUCKETS]
        spent_e8 += sum(connection.execute(select(*sums).where(*which)).one())
    return int(paid_in.scalar_one()) - spent_e8


def _paid_in(account: str, currency: str, *columns: Any) -> Any:
    """From outside: what comes back out of revenue is in orders and settlements."""
    own = [wallet_id(account, currency, bucket) for bucket in BUCKETS]
    sources = sorted({wallet_id(account, currency, source) for source in SOURCES.values()})
    assert wallet_id(account, currency, REVENUE) not in sources
    return select(*columns).where(text(tables.FROM_OUTSIDE), _transfer.credit.in_(own), _transfer.debit.in_(sources))
