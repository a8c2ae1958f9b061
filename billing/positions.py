"""The ladders and accumulators of accounts' months, to and from the store."""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, Text, bindparam, select

from billing import tables
from billing.among import among
from billing.charging import AccumulatorKey, Positions
from billing.rating import Accumulator
from billing.upsert import replace_rows

_NO_REGION: Final = "-"

_first, _last = bindparam("first", type_=Text), bindparam("last", type_=Text)
_ladders = select(tables.ladder).where(
    among(tables.ladder.c.account, "accounts"), tables.ladder.c.month.between(_first, _last)
)
_accumulators = select(tables.accumulator).where(
    among(tables.accumulator.c.account, "accounts"), tables.accumulator.c.month.between(_first, _last)
)


def read_positions(connection: Connection, accounts: Sequence[str], first: str, last: str) -> dict[str, Positions]:
    """By account, of the months from the first to the last, `YYYY-MM`, which sorts as time goes."""
    which = {"accounts": accounts, "first": first, "last": last}
    positions = {account: Positions() for account in accounts}
    for account, sku, month, units in connection.execute(_ladders, which).all():
        positions[account].ladder[sku, month] = units
    for account, sku, region, month, price, tier, quantity, amount_e8 in connection.execute(_accumulators, which).all():
        key = AccumulatorKey(sku, None if region == _NO_REGION else region, month, price, tier)
        positions[account].accumulators[key] = Accumulator(quantity, amount_e8)
    return positions


def write_positions(connection: Connection, positions: Mapping[str, Positions]) -> None:
    ladders = [
        {"account": account, "sku": sku, "month": month, "units": units}
        for account, of_one in positions.items()
        for (sku, month), units in of_one.ladder.items()
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
        for account, of_one in positions.items()
        for key, accumulator in of_one.accumulators.items()
    ]
    replace_rows(connection, tables.ladder, ("units",), ladders)
    replace_rows(connection, tables.accumulator, ("quantity", "amount_e8"), accumulators)
