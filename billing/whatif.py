"""What a month's recorded usage would have cost otherwise: another price book, another pack, a dedicated instance.

The same pure rating as the bills (`charging.py`), on the counters, from where packs stood when the month began.
Nothing is written.
"""

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import Connection, select

from billing import tables
from billing.calendar import HOUR_S, LocalCalendar
from billing.charging import INSTANCE_SECONDS, Positions, Usage, charge_hour, skus_by_type
from billing.errors import Refused
from billing.packs import MONTH_HOURS, Pack, Source
from billing.price_rows import price_versions
from billing.prices import PriceList
from billing.rows import pack_from
from billing.terms import Terms
from billing.views import Document
from config.money import format_e8
from config.prices import PriceBook
from metering.sums import exact_sum
from metering.tables import counter

_LAST_BOUGHT = 2**62  # A wished-for pack was bought after all others (P3).


@dataclass(frozen=True, slots=True)
class Wish:
    """`book`: other prices. `pack`: (meter, quantity, months, price e8), from the month's start. `spec`: each shared
    instance is dedicated, by the second, all month, or up to now."""

    book: PriceBook | None = None
    pack: tuple[str, int, int, int] | None = None
    spec: str | None = None


def what_if(
    connection: Connection,
    account: str,
    month: str,
    wish: Wish,
    terms: Terms,
    book: PriceBook,
    calendar: LocalCalendar,
    now: int,
) -> Document:
    """`actual`: the same usage rated as things are. Raises Refused("not_found")."""
    if connection.execute(select(tables.account.c.id).where(tables.account.c.id == account)).first() is None:
        raise Refused("not_found", f"no account {account}")
    begins, ends = calendar.month_hours(month)
    usage = _usage(connection, account, begins, ends, terms)
    actual_e8 = _rate(usage, _packs(connection, account, begins), terms, month)
    packs = _packs(connection, account, begins)
    prices, fee_e8, price_e8 = terms, 0, 0
    if wish.book is not None:
        # An instance keeps what it was bought at: its price is the purchase's, not the book's.
        skus = skus_by_type(wish.book.egress_meters.model_dump())
        prices = Terms(PriceList(price_versions(wish.book)), terms.basis, skus, terms.regions_without_packs)
    if wish.pack is not None:
        meter, quantity, months, price_e8 = wish.pack
        to_hour = begins + months * MONTH_HOURS
        packs.append(Pack(_LAST_BOUGHT, "what-if", meter, Source.PURCHASE, quantity, 0, begins, to_hour))
    if wish.spec is not None:
        offer = (wish.book or book).instances[wish.spec]
        shared = {use.instance for uses in usage.values() for use in uses} - _dedicated(connection, account)
        until = min(ends * HOUR_S, max(begins * HOUR_S, now))
        fee_e8 = offer.per_second * (until - begins * HOUR_S) * len(shared)
        usage = {hour: [use for use in uses if _is_billed(use, shared)] for hour, uses in usage.items()}
    rated_e8 = _rate(usage, packs, prices, month)
    total_e8 = rated_e8 + fee_e8 + price_e8
    return {
        "account": account,
        "month": month,
        "actual": format_e8(actual_e8),
        "what_if": format_e8(total_e8),
        "difference": format_e8(total_e8 - actual_e8),
        "currency": (wish.book or book).currency,
        "parts": {"usage": format_e8(rated_e8), "instances": format_e8(fee_e8), "pack": format_e8(price_e8)},
    }


def _usage(connection: Connection, account: str, begins: int, ends: int, terms: Terms) -> dict[int, list[Usage]]:
    c = counter.c
    key = (c.hour, c.instance, c.region, c.meter)
    counted = (
        select(*key, exact_sum(c.value)).where(c.account == account, c.hour >= begins, c.hour < ends).group_by(*key)
    )
    instance = tables.instance.c
    known = {
        id: (type, price_e8)
        for id, type, price_e8 in connection.execute(
            select(instance.id, instance.type, instance.price_e8).where(instance.account == account)
        )
    }
    usage: defaultdict[int, list[Usage]] = defaultdict(list)
    for hour, id, region, name, units in connection.execute(counted.group_by(*key).order_by(c.hour)):
        meter = terms.basis.billed_as(name, hour)
        type, price_e8 = known.get(id, ("", 0))
        sku = terms.skus.get(type, {}).get(meter or "")
        if meter is not None and sku is not None:
            usage[hour].append(Usage(id, region, meter, sku, int(units), price_e8 if meter == INSTANCE_SECONDS else 0))
    return usage


def _packs(connection: Connection, account: str, begins: int) -> list[Pack]:
    """The account's, as full as they were when the month began."""
    line = tables.line.c
    used: dict[int, int] = dict(
        connection.execute(
            select(line.pack, exact_sum(line.quantity))
            .where(line.account == account, line.pack.is_not(None), line.hour < begins)
            .group_by(line.pack)
        ).all()
    )
    packs = []
    for row in connection.execute(select(tables.pack).where(tables.pack.c.account == account)).mappings():
        pack = pack_from(row)
        pack.used = int(used.get(pack.key, 0))
        packs.append(pack)
    return packs


def _rate(usage: dict[int, list[Usage]], packs: list[Pack], terms: Terms, month: str) -> int:
    positions = Positions()
    return sum(
        line.amount_e8
        for hour in sorted(usage)
        for line in charge_hour(hour, month, usage[hour], packs, terms.prices, positions, terms.regions_without_packs)
    )


def _dedicated(connection: Connection, account: str) -> set[str]:
    query = select(tables.instance.c.id).where(
        tables.instance.c.account == account, tables.instance.c.type == "dedicated"
    )
    return set(connection.execute(query).scalars())


def _is_billed(use: Usage, shared: set[str]) -> bool:
    """As dedicated, calls cost nothing and traffic only towards clients (B1, B8)."""
    return use.instance not in shared or use.meter == "egress_client"
