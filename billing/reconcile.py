"""Does the store agree with itself? Each check is one of the invariants of RULES C.7, and looks at everything."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, func, select

from billing import tables
from billing.basis import COUNTER_METERS
from billing.charging import skus_by_type
from billing.price_rows import read_basis, read_prices
from billing.rating import Price
from billing.rounding import R
from billing.upsert import insert_or_replace
from billing.wallet import REVENUE
from metering.sums import exact_sum
from metering.tables import counter, dirty

# By the widest reading of the price book: what an instance could pay for.
_BILLABLE = skus_by_type({"shared": ("out_client", "out_backend"), "dedicated": ("out_client",)})


def findings(connection: Connection) -> Iterator[str]:
    """One sentence for each contradiction, naming what disagrees."""
    yield from _wallets(connection)
    yield from _quantities(connection)
    yield from _settlements(connection)
    yield from _packs(connection)
    yield from _accumulators(connection)


def _wallets(connection: Connection) -> Iterator[str]:
    """Every balance is the sum of its transfers, and all balances together are nothing."""
    sums: defaultdict[str, int] = defaultdict(int)
    amount = exact_sum(tables.transfer.c.amount_e8)
    for end, sign in ((tables.transfer.c.debit, -1), (tables.transfer.c.credit, 1)):
        for id, total_e8 in connection.execute(select(end, amount).group_by(end)):
            sums[id] += sign * int(total_e8)
    balances = connection.execute(select(tables.wallet.c.id, tables.wallet.c.balance_e8)).all()
    for id, balance_e8 in balances:
        if sums[id] != balance_e8:
            yield f"wallet {id} holds {balance_e8} e8, its transfers make {sums[id]}"
    if sum(balance_e8 for _, balance_e8 in balances):
        yield "the wallets do not add up to zero"


def _quantities(connection: Connection) -> Iterator[str]:
    """What was counted was billed, once; hours that are marked are still to be settled."""
    for which, counted, billed in _differences(connection):
        yield f"{which}: counted {counted}, billed {billed}"


def mark_unbilled(connection: Connection) -> None:
    """Mark the hours of which something is not billed (C.5: any missed mark, whatever the cause)."""
    hours = {(which[0], which[1]) for which, counted, billed in _differences(connection) if counted > billed}
    if hours:
        marks = [{"account": account, "hour": hour} for account, hour in sorted(hours)]
        connection.execute(insert_or_replace(connection, dirty, "hour"), marks)


def _differences(connection: Connection) -> Iterator[tuple[Any, int, int]]:
    """((account, hour, instance, meter), counted, billed) where the two differ."""
    line, count = tables.line.c, counter.c
    key = (line.account, line.hour, line.instance, line.meter)
    billed = {
        tuple(row[:4]): int(row[4]) for row in connection.execute(select(*key, exact_sum(line.quantity)).group_by(*key))
    }
    types = dict(connection.execute(select(tables.instance.c.id, tables.instance.c.type)).all())
    marked = {tuple(row) for row in connection.execute(select(dirty.c.account, dirty.c.hour))}
    basis = read_basis(connection)
    key = (count.account, count.hour, count.instance, count.meter)
    counted: dict[Any, int] = {}
    query = select(*key, exact_sum(count.value)).where(count.meter.in_(COUNTER_METERS)).group_by(*key)
    for account, hour, instance, name, units in connection.execute(query):
        meter = basis.billed_as(name, hour)
        if meter in _BILLABLE.get(types.get(instance, ""), {}) and (account, hour) not in marked:
            counted[account, hour, instance, meter] = int(units)
    for which in sorted(billed.keys() | counted.keys()):
        if (which[0], which[1]) not in marked and billed.get(which, 0) != counted.get(which, 0):
            yield which, counted.get(which, 0), billed.get(which, 0)


def _settlements(connection: Connection) -> Iterator[str]:
    """A settlement is the sum of its lines, of its payment, and of its transfers to revenue."""
    settlement, line, transfer = tables.settlement.c, tables.line.c, tables.transfer.c
    key = (line.account, line.hour, line.rev)
    lines = {
        tuple(row[:3]): int(row[3])
        for row in connection.execute(select(*key, exact_sum(line.amount_e8)).group_by(*key))
    }
    # Money that an adjustment gave back left revenue again.
    revenue = select(tables.wallet.c.id).where(tables.wallet.c.bucket == REVENUE)
    sums_e8: defaultdict[str, int] = defaultdict(int)
    for end, sign in ((transfer.credit, 1), (transfer.debit, -1)):
        query = select(transfer.journal, exact_sum(transfer.amount_e8)).where(end.in_(revenue))
        for journal, total_e8 in connection.execute(query.group_by(transfer.journal)):
            sums_e8[journal] += sign * int(total_e8)
    parts = (settlement.voucher_e8, settlement.gift_e8, settlement.income_e8, settlement.cash_e8)
    key = (settlement.account, settlement.hour, settlement.rev)
    for account, hour, rev, amount_e8, *paid in connection.execute(select(*key, settlement.amount_e8, *parts)):
        journal = f"settle:{account}:{hour}:{rev}"
        sums = {amount_e8, sum(paid), lines.get((account, hour, rev), 0), sums_e8.get(journal, 0)}
        if len(sums) != 1:
            yield f"{journal}: amount, payment, lines and transfers differ: {sorted(sums)}"


def _packs(connection: Connection) -> Iterator[str]:
    """A pack is used by its lines, and only in its validity."""
    pack, line = tables.pack.c, tables.line.c
    used = (
        select(line.pack, exact_sum(line.quantity), func.min(line.hour), func.max(line.hour))
        .where(line.pack.is_not(None))
        .group_by(line.pack)
    )
    by_lines = {row[0]: row for row in connection.execute(used)}
    for row in connection.execute(select(pack.key, pack.account, pack.id, pack.used, pack.from_hour, pack.to_hour)):
        _, units, first, last = by_lines.get(row.key, (row.key, 0, row.from_hour, row.from_hour))
        if int(units) != row.used:
            yield f"pack {row.account}/{row.id}: used {row.used}, its lines make {units}"
        if first < row.from_hour or last >= row.to_hour:
            yield f"pack {row.account}/{row.id}: used outside of its validity"


def _accumulators(connection: Connection) -> Iterator[str]:
    """What was billed at a price and tier is the rounded total (P2)."""
    prices: dict[int, Price] = {price.id: price for price in read_prices(connection).versions()}
    for row in connection.execute(select(tables.accumulator)):
        price = prices[row.price]
        total_e8 = R(row.quantity, price.tiers[row.tier - 1].price_e8, price.per)
        if row.amount_e8 != total_e8:
            yield f"accumulator {row.account}/{row.sku}/{row.month}: {row.amount_e8} e8, exactly {total_e8}"
