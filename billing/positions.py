"""The ladders and accumulators of an account's months, to and from the store."""

from sqlalchemy import Connection, bindparam, select

from billing import tables
from billing.charging import AccumulatorKey, Positions
from billing.rating import Accumulator
from billing.upsert import insert_or_replace

_NO_REGION = "-"

_ladders = select(tables.ladder).where(
    tables.ladder.c.account == bindparam("account"),
    tables.ladder.c.month.between(bindparam("first"), bindparam("last")),
)
_accumulators = select(tables.accumulator).where(
    tables.accumulator.c.account == bindparam("account"),
    tables.accumulator.c.month.between(bindparam("first"), bindparam("last")),
)


def read_positions(connection: Connection, account: str, first: str, last: str) -> Positions:
    """Of the months from the first to the last, `YYYY-MM`, which sorts as time goes."""
    which = {"account": account, "first": first, "last": last}
    positions = Positions()
    for row in connection.execute(_ladders, which):
        positions.ladder[row.sku, row.month] = row.units
    for row in connection.execute(_accumulators, which):
        region = None if row.region == _NO_REGION else row.region
        key = AccumulatorKey(row.sku, region, row.month, row.price, row.tier)
        positions.accumulators[key] = Accumulator(row.quantity, row.amount_e8)
    return positions


def write_positions(connection: Connection, account: str, positions: Positions) -> None:
    ladders = [
        {"account": account, "sku": sku, "month": month, "units": units}
        for (sku, month), units in positions.ladder.items()
        if units
    ]
    accumulators = [
        {
            "account": account,
            "sku": key.sku,
            "region": key.region or _NO_REGION,
            "month": key.month,
            "price": key.price_id,
            "tier": key.tier,
            "quantity": accumulator.quantity,
            "amount_e8": accumulator.amount_e8,
        }
        for key, accumulator in positions.accumulators.items()
    ]
    if ladders:
        connection.execute(insert_or_replace(connection, tables.ladder, "units"), ladders)
    if accumulators:
        connection.execute(insert_or_replace(connection, tables.accumulator, "quantity", "amount_e8"), accumulators)
