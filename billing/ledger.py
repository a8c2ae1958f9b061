"""The double-entry journal: one row for each transfer, balances beside it (RULES B.2).

A transfer has two ends and one amount, so an unbalanced entry cannot be written. Nothing here is ever changed;
a mistake is put right by another transfer. `idem` makes a transfer that is written twice an error of the store.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, select

from billing import tables
from billing.accounts import Account
from billing.among import among
from billing.bounds import require_shared_room
from billing.upsert import add_to_rows, append_rows, ignore_rows
from billing.wallet import BUCKETS, REVENUE, SOURCES, VOUCHERS, Move, Wallet, hold_of
from metering.sums import exact_sum

_OWN_BUCKETS = (*BUCKETS, *(hold_of(bucket) for bucket in BUCKETS))
_OTHER_SIDES = (REVENUE, VOUCHERS, *sorted(set(SOURCES.values())))

_balances = select(tables.wallet.c.account, tables.wallet.c.bucket, tables.wallet.c.balance_e8).where(
    among(tables.wallet.c.account, "accounts")
)


_shared_balances = select(tables.wallet.c.id, tables.wallet.c.balance_e8).where(among(tables.wallet.c.id, "wallets"))

_SHARED: Final = "system:"  # sorts after "account:"


def wallet_id(account: str, currency: str, bucket: str) -> str:
    """An account's own wallet, or the currency's one for what is on the other side."""
    return f"account:{account}:{bucket}" if bucket in _OWN_BUCKETS else f"{_SHARED}{currency}:{bucket}"


def open_wallets(connection: Connection, owners: Iterable[tuple[str, str]]) -> None:
    """Give new accounts (account, currency) their wallets, and a new currency its other sides."""
    rows = [
        {
            "id": wallet_id(account, currency, bucket),
            "account": account if bucket in _OWN_BUCKETS else None,
            "bucket": bucket,
            "currency": currency,
            "balance_e8": 0,
        }
        for account, currency in owners
        for bucket in (*_OWN_BUCKETS, *_OTHER_SIDES)
    ]
    ignore_rows(connection, tables.wallet, rows)


def read_wallets(connection: Connection, accounts: Sequence[str]) -> dict[str, Wallet]:
    """By account."""
    balances: dict[str, dict[str, int]] = {account: {} for account in accounts}
    for account, bucket, balance_e8 in connection.execute(_balances, {"accounts": accounts}).all():
        balances[account][bucket] = balance_e8
    return {
        account: Wallet(of_one, {bucket: of_one[hold_of(bucket)] for bucket in BUCKETS})
        for account, of_one in balances.items()
        if of_one
    }


def read_wallet(connection: Connection, account: str) -> Wallet:
    return read_wallets(connection, [account])[account]


def post(connection: Connection, moved: Iterable[tuple[Account, Iterable[Move]]], at: int) -> None:
    """Append the moves of each account as transfers, and bring the balances along."""
    transfers: list[dict[str, Any]] = []
    changes: defaultdict[str, int] = defaultdict(int)
    for account, moves in moved:
        for move in moves:
            debit, credit = (wallet_id(account.id, account.currency, end) for end in (move.debit, move.credit))
            changes[debit] -= move.amount_e8
            changes[credit] += move.amount_e8
            transfers.append(
                {
                    "idem": f"{move.journal}:{move.debit}>{move.credit}",
                    "journal": move.journal,
                    "debit": debit,
                    "credit": credit,
                    "amount_e8": move.amount_e8,
                    "at": at,
                }
            )
    append_rows(connection, tables.transfer, transfers)
    changed = [{"id": id, "balance_e8": change_e8} for id, change_e8 in sorted(changes.items()) if change_e8]
    # An account's own are locked with it. The shared ones come last and in order, so that nobody waits crosswise.
    own = [row for row in changed if not str(row["id"]).startswith(_SHARED)]
    add_to_rows(connection, tables.wallet, "id", ("balance_e8",), own)
    for row in changed[len(own) :]:
        add_to_rows(connection, tables.wallet, "id", ("balance_e8",), [row])


def require_room(connection: Connection, account: Account, moves: Iterable[Move], field: str | None) -> None:
    """Before these moves are posted: whether the currency's shared wallets can take them. Raises Refused("too_large").

    They are not locked for it: what others do meanwhile has the other half of 64 bits.
    """
    changes: defaultdict[str, int] = defaultdict(int)
    for move in moves:
        changes[wallet_id(account.id, account.currency, move.debit)] -= move.amount_e8
        changes[wallet_id(account.id, account.currency, move.credit)] += move.amount_e8
    shared = [id for id in changes if id.startswith(_SHARED)]
    if shared:
        balances = connection.execute(_shared_balances, {"wallets": shared}).all()
        require_shared_room(account.currency, ((balance_e8, changes[id]) for id, balance_e8 in balances), field)


def totals(connection: Connection) -> list[tuple[str, str, int]]:
    """(account, currency, total e8) of every account; holds included (B47)."""
    wallet = tables.wallet.c
    query = (
        select(wallet.account, wallet.currency, exact_sum(wallet.balance_e8))
        .where(wallet.account.is_not(None))
        .group_by(wallet.account, wallet.currency)
        .order_by(wallet.account)
    )
    return [(str(account), currency, total) for account, currency, total in connection.execute(query)]
