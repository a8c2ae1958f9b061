"""Bought packs as the FOCUS export sees them: commitment discounts, whose cost becomes effective as they are drawn.

What is billed at the purchase is effective hour by hour, and what was not drawn at the end, or at a refund that did not
give all of it back: so both add up to the same over a pack's life, to the last e8.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from billing import tables
from billing.calendar import hour_of, hour_start
from billing.packs import MONTH_HOURS, Pack, Source
from billing.rounding import R
from billing.rows import pack_from


@dataclass(slots=True)
class Commitment:
    """One meter of a bought pack. `price_e8` and `refunded_e8`: its share of what the pack cost, and of what came back.

    `by_line`: what the lines that drew on it made effective, by their ids.
    """

    id: str
    pack: Pack
    order: int
    price_e8: int
    refund_order: int | None
    refunded_e8: int
    refunded_at: int | None
    by_line: dict[int, int]

    @property
    def unused_e8(self) -> int:
        return self.price_e8 - self.refunded_e8 - sum(self.by_line.values())

    @property
    def sku(self) -> str:
        """What was bought, whatever it cost."""
        pack = self.pack
        return f"pack:{pack.meter}:{pack.total}:{(pack.to_hour - pack.from_hour) // MONTH_HOURS}m"

    def ended_hour(self, now: int) -> int | None:
        """The last of its hours, or that of its refund; None while it can be drawn on."""
        if self.refunded_at is not None:
            return hour_of(self.refunded_at)
        return self.pack.to_hour - 1 if now >= hour_start(self.pack.to_hour) else None


def commitments(connection: Connection, account: str) -> dict[int, Commitment]:
    """By the pack's key."""
    packs: defaultdict[str, list[Pack]] = defaultdict(list)
    pack, orders = tables.pack.c, tables.orders.c
    for row in connection.execute(select(tables.pack).where(pack.account == account).order_by(pack.key)).mappings():
        if row["source"] != Source.FREE:
            packs[row["id"]].append(pack_from(row))
    kinds = orders.kind.in_(("pack", "refund"))
    found = connection.execute(select(tables.orders).where(orders.account == account, kinds).order_by(orders.id))
    by_ref: defaultdict[str, list[RowMapping]] = defaultdict(list)
    for order in found.mappings():
        by_ref[order["ref"]].append(order)
    made = [one for id, parts in packs.items() for one in _of_pack(id, parts, by_ref[id])]
    by_key = {one.pack.key: one for one in made}
    _draw(connection, account, by_key)
    return by_key


def _of_pack(id: str, parts: Sequence[Pack], orders: Sequence[RowMapping]) -> Iterator[Commitment]:
    purchase = next((order for order in orders if order["kind"] == "pack"), None)
    if purchase is None:
        return
    refund = next((order for order in orders if _gives_back(order, purchase)), None) if parts[0].is_refunded else None
    prices_e8 = _split(purchase["list_e8"], len(parts))
    refunds_e8 = _split(-refund["list_e8"] if refund else 0, len(parts))
    for pack, price_e8, refunded_e8 in zip(parts, prices_e8, refunds_e8, strict=True):
        yield Commitment(
            id if len(parts) == 1 else f"{id}:{pack.meter}",
            pack,
            purchase["id"],
            price_e8,
            refund["id"] if refund else None,
            refunded_e8,
            refund["at"] if refund else None,
            {},
        )


def _gives_back(order: RowMapping, purchase: RowMapping) -> bool:
    """An instance may have the pack's name."""
    is_after = order["kind"] == "refund" and order["id"] > purchase["id"]
    return bool(is_after and -order["list_e8"] == purchase["list_e8"] - purchase["voucher_e8"])


def _split(amount_e8: int, parts: int) -> list[int]:
    """Alike, and the last has the rest: a pack of several meters has one price."""
    each_e8 = amount_e8 // parts
    return [each_e8] * (parts - 1) + [amount_e8 - each_e8 * (parts - 1)]


def _draw(connection: Connection, account: str, by_key: dict[int, Commitment]) -> None:
    """In the order of the lines: differences of rounded totals, as on a bill (G9)."""
    line: Any = tables.line.c
    query = select(line.id, line.pack, line.quantity).where(line.account == account, line.pack.is_not(None))
    drawn: defaultdict[int, int] = defaultdict(int)
    for id, key, quantity in connection.execute(query.order_by(line.id)):
        one = by_key.get(key)
        if one is not None:
            before_e8 = R(drawn[key], one.price_e8, one.pack.total)
            drawn[key] += quantity
            one.by_line[id] = R(drawn[key], one.price_e8, one.pack.total) - before_e8
