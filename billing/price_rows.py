"""Versions of prices and of the billed basis in the store. A new version holds from the next full hour (P10)."""

import json
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, insert, select

from billing import tables
from billing.basis import BasisHistory
from billing.calendar import next_full_hour
from billing.prices import CALLS, EGRESS, PER, PriceList
from billing.rating import Price, Tier
from billing.upsert import insert_or_replace
from config.prices import PriceBook

ALWAYS = 0  # The first version of a price holds for every hour.


def read_prices(connection: Connection) -> PriceList:
    return PriceList(
        Price(
            row.id,
            row.sku,
            row.region,
            row.per,
            tuple(Tier(up_to, price_e8) for up_to, price_e8 in json.loads(row.tiers)),
            row.from_hour,
        )
        for row in connection.execute(select(tables.price))
    )


def enter_prices(connection: Connection, book: PriceBook, now: int) -> None:
    """Add what the book says otherwise than the store: a first price for always, a new one from the next full hour.

    Regions that the book no longer has keep their last price: usage that was metered there can be billed.
    """
    if connection.dialect.name == "postgresql":
        # Two processes that start on an empty store enter each price once. SQLite has one writer anyway.
        connection.exec_driver_sql("LOCK TABLE price IN SHARE ROW EXCLUSIVE MODE")
    stored = read_prices(connection)
    for sku, region, tiers in _versions(book):
        latest = stored.latest(sku, region)
        if latest is None or latest.tiers != tiers:
            add_price(connection, sku, region, tiers, ALWAYS if latest is None else next_full_hour(now))


def price_versions(book: PriceBook) -> Iterator[Price]:
    """A book's prices as if they had always held; ids are theirs alone."""
    for number, (sku, region, tiers) in enumerate(_versions(book), start=1):
        yield Price(number, sku, region, PER[sku], tiers, ALWAYS)


def _versions(book: PriceBook) -> Iterator[tuple[str, str | None, tuple[Tier, ...]]]:
    yield CALLS, None, tuple(Tier(up_to, price_e8) for up_to, price_e8 in book.call_tiers)
    for region, price_e8 in book.egress.items():
        yield EGRESS, region, (Tier(None, price_e8),)


def add_price(connection: Connection, sku: str, region: str | None, tiers: Sequence[Tier], from_hour: int) -> None:
    connection.execute(
        insert(tables.price),
        {
            "sku": sku,
            "region": region,
            "per": PER[sku],
            "tiers": json.dumps([[tier.up_to, tier.price_e8] for tier in tiers]),
            "from_hour": from_hour,
        },
    )


def read_basis(connection: Connection) -> BasisHistory:
    return BasisHistory(connection.execute(select(tables.basis.c.from_hour, tables.basis.c.basis)).all())


def enter_basis(connection: Connection, basis: str, now: int) -> None:
    """As with prices: a changed basis holds from the next full hour."""
    latest = read_basis(connection).latest
    if latest != basis:
        from_hour = ALWAYS if latest is None else next_full_hour(now)
        connection.execute(
            insert_or_replace(connection, tables.basis, "basis"), {"from_hour": from_hour, "basis": basis}
        )
