"""Accounts and what they own, found in the store and entered into it. Whole books are read in `books.py`."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, func, insert, select

from billing import ledger, rows, tables
from billing.accounts import Account, AccountState
from billing.book import Order
from billing.errors import Refused
from billing.instances import InstanceState
from billing.packs import Pack
from billing.upsert import append_rows

_due = select(tables.account.c.id).where(tables.account.c.due_at <= bindparam("now")).order_by(tables.account.c.id)
_next_due = select(func.min(tables.account.c.due_at))

_destructions = (
    select(tables.transition.c.account, func.max(tables.transition.c.at))
    .where(tables.transition.c.after == AccountState.DESTROYED.value)
    .group_by(tables.transition.c.account)
)
_states = (
    select(tables.account.c.id, tables.account.c.state, tables.instance.c.state)
    .join(tables.instance, tables.instance.c.account == tables.account.c.id)
    .where(tables.instance.c.id == bindparam("instance"))
)


def add_accounts(connection: Connection, accounts: Sequence[Account]) -> None:
    """New ones, with their wallets."""
    new = [
        {
            "id": account.id,
            "entity": account.entity,
            "currency": account.currency,
            "activated_at": account.activated_at,
            **rows.account_row(account, acts=0, due_at=account.activated_at),
        }
        for account in accounts
    ]
    append_rows(connection, tables.account, new)
    ledger.open_wallets(connection, ((account.id, account.currency) for account in accounts))


def account_exists(connection: Connection, id: str) -> bool:
    return connection.execute(select(tables.account.c.id).where(tables.account.c.id == id)).first() is not None


def require_account(connection: Connection, id: str) -> None:
    """Raises Refused("not_found")."""
    if not account_exists(connection, id):
        raise Refused("not_found", f"no account {id}")


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


def destructions(connection: Connection) -> dict[str, int]:
    """By account, when it was destroyed last."""
    return {str(account): int(instant) for account, instant in connection.execute(_destructions)}


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
