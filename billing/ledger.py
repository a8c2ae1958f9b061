"""The double-entry journal: one row for each transfer, balances beside it (RULES B.2).

A transfer has two ends and one amount, so an unbalanced entry cannot be written. Nothing here is ever changed;
a mistake is put right by another transfer. `idem` makes a transfer that is written twice an error of the store.
"""

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, func, select, update

from billing import tables
from billing.upsert import append_rows, insert_or_ignore
from billing.wallet import BUCKETS, REVENUE, SOURCES, VOUCHERS, Move, Wallet, hold_of

_OWN_BUCKETS = (*BUCKETS, *(hold_of(bucket) for bucket in BUCKETS))
_OTHER_SIDES = (REVENUE, VOUCHERS, *sorted(set(SOURCES.values())))

_add = (
    update(tables.wallet)
    .where(tables.wallet.c.id == bindparam("wallet"))
    .values(balance_e8=tables.wallet.c.balance_e8 + bindparam("change_e8"))
)
_balances = select(tables.wallet.c.bucket, tables.wallet.c.balance_e8).where(
    tables.wallet.c.account == bindparam("account")
)


def wallet_id(account: str, currency: str, bucket: str) -> str:
    """An account's own wallet, or the currency's one for what is on the other side."""
    return f"account:{account}:{bucket}" if bucket in _OWN_BUCKETS else f"system:{currency}:{bucket}"


def open_wallets(connection: Connection, account: str, currency: str) -> None:
    """Give a new account its wallets, and a new currency its other sides."""
    rows = [
        {
            "id": wallet_id(account, currency, bucket),
            "account": account if bucket in _OWN_BUCKETS else None,
            "bucket": bucket,
            "currency": currency,
            "balance_e8": 0,
        }
        for bucket in (*_OWN_BUCKETS, *_OTHER_SIDES)
    ]
    connection.execute(insert_or_ignore(connection, tables.wallet), rows)


def read_wallet(connection: Connection, account: str) -> Wallet:
    balances: dict[str, int] = {
        row.bucket: row.balance_e8 for row in connection.execute(_balances, {"account": account})
    }
    return Wallet(balances, {bucket: balances[hold_of(bucket)] for bucket in BUCKETS})


def post(connection: Connection, account: str, currency: str, moves: Iterable[Move], at: int) -> None:
    """Append the moves as transfers and bring the balances along."""
    rows = []
    changes: defaultdict[str, int] = defaultdict(int)
    for move in moves:
        debit, credit = (wallet_id(account, currency, end) for end in (move.debit, move.credit))
        changes[debit] -= move.amount_e8
        changes[credit] += move.amount_e8
        rows.append(
            {
                "idem": f"{move.journal}:{move.debit}>{move.credit}",
                "journal": move.journal,
                "debit": debit,
                "credit": credit,
                "amount_e8": move.amount_e8,
                "at": at,
            }
        )
    if not rows:
        return
    append_rows(connection, tables.transfer, rows)
    # In order of name, so that two transactions lock in the same order; shared ones ("system:") come last.
    connection.execute(_add, [{"wallet": id, "change_e8": changes[id]} for id in sorted(changes) if changes[id]])


def totals(connection: Connection) -> list[tuple[str, str, int]]:
    """(account, currency, total e8) of every account; holds included (B47)."""
    wallet = tables.wallet.c
    query = (
        select(wallet.account, wallet.currency, func.sum(wallet.balance_e8))
        .where(wallet.account.is_not(None))
        .group_by(wallet.account, wallet.currency)
        .order_by(wallet.account)
    )
    return [(str(account), currency, int(total)) for account, currency, total in connection.execute(query)]
