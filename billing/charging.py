"""From the metered units of an hour to bill lines: free quota, then packs, then pay-as-you-go (B19).

Pure: takes what is to be billed and where the account stands, moves packs, ladders and accumulators on,
returns the lines.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from billing.errors import LedgerFault
from billing.packs import Pack, Source, burn
from billing.prices import CALLS, EGRESS, PriceList
from billing.rating import Accumulator, Price, graduated, next_tier
from billing.rounding import R

INSTANCE_SECONDS: Final = "instance_seconds"
# What a type of instance pays for besides traffic (B1). Everything else is metered, never a line (P14).
_BASE_SKUS: Final = {"shared": {"calls": CALLS}, "dedicated": {INSTANCE_SECONDS: INSTANCE_SECONDS}}
_TRAFFIC_METERS: Final = {"out_client": "egress_client", "out_backend": "egress_backend"}
_SKU_ORDER: Final = {CALLS: 0, EGRESS: 1, INSTANCE_SECONDS: 2}
UNITS_MAX: Final = 2**62  # of a month: what 64 bits hold twice
METERS: Final = ("calls", *_TRAFFIC_METERS.values(), INSTANCE_SECONDS)  # of bill lines
_METER_ORDER: Final = {"egress_client": 0, "egress_backend": 1}  # P2


def skus_by_type(traffic: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    """Meter to SKU by type of instance, from the price book's meters of traffic (B7, B8, X12)."""
    return {
        type: base | {_TRAFFIC_METERS[meter]: EGRESS for meter in traffic[type]} for type, base in _BASE_SKUS.items()
    }


class Usage(NamedTuple):
    """Units of one meter of one instance in an hour, not billed yet. `price_e8` only for instance seconds."""

    instance: str
    region: str
    meter: str
    sku: str
    units: int
    price_e8: int = 0


class Line(NamedTuple):
    """One line of a bill (DESIGN 1.4), with the price version and the pack behind it."""

    instance: str
    region: str
    meter: str
    cover: str
    quantity: int
    unit_price_e8: int
    per: int
    list_e8: int
    amount_e8: int
    tier: int | None = None
    price_id: int | None = None
    pack_key: int | None = None


@dataclass(frozen=True, slots=True)
class AccumulatorKey:
    """One rounding accumulator for each of these; the instance kind is none of them (P2)."""

    sku: str
    region: str | None
    month: str
    price_id: int
    tier: int


@dataclass(slots=True)
class Positions:
    """How far an account has come in its months: N by (SKU, month) (B22), and the rounded totals."""

    ladder: defaultdict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    accumulators: defaultdict[AccumulatorKey, Accumulator] = field(default_factory=lambda: defaultdict(Accumulator))


def charge_hour(
    hour: int,
    month: str,
    usage: Iterable[Usage],
    packs: Sequence[Pack],
    prices: PriceList,
    positions: Positions,
    regions_without_packs: Collection[str] = (),
) -> list[Line]:
    """The lines of one account's hour, in the order in which packs burn (X19, P2).

    Where packs are not sold they do not count either, the free quota does (B30).
    """
    free = [pack for pack in packs if pack.source is Source.FREE]
    lines: list[Line] = []
    for priced in sorted(
        ((use, _price_of(use, prices, hour)) for use in usage if use.units),
        key=lambda pair: _rank(pair[0], pair[1]),
    ):
        use, price = priced
        if price is None:
            lines.append(_instance_line(use))
            continue
        left = use.units
        eligible = free if use.region in regions_without_packs else packs
        for pack, units in burn(eligible, use.sku, hour, left):
            lines.append(_covered_line(use, price, pack, units, positions.ladder[use.sku, month]))
            left -= units
        lines += _paid_lines(use, price, left, month, positions)
    return lines


def _price_of(use: Usage, prices: PriceList, hour: int) -> Price | None:
    """None for instance seconds, whose price is the instance's own."""
    if use.sku == INSTANCE_SECONDS:
        return None
    return prices.in_force(use.sku, None if use.sku == CALLS else use.region, hour)


def _rank(use: Usage, price: Price | None) -> tuple[int, int, str, str, int]:
    dearest_first = -price.tiers[0].price_e8 if price and use.sku == EGRESS else 0
    return (_SKU_ORDER[use.sku], dearest_first, use.region, use.instance, _METER_ORDER.get(use.meter, 0))


def _paid_lines(use: Usage, price: Price, units: int, month: str, positions: Positions) -> list[Line]:
    """One line for each tier that the units touch (B27); the ladder counts paid units only (X4)."""
    lines = []
    for slice in graduated(price.tiers, positions.ladder[use.sku, month], units) if units else ():
        key = AccumulatorKey(use.sku, price.region, month, price.id, slice.tier)
        price_e8 = price.tiers[slice.tier - 1].price_e8
        amount_e8 = positions.accumulators[key].add(slice.units, price_e8, price.per)
        lines.append(
            Line(
                use.instance,
                use.region,
                use.meter,
                "payg",
                slice.units,
                price_e8,
                price.per,
                list_e8=amount_e8,
                amount_e8=amount_e8,
                tier=_shown_tier(use, slice.tier),
                price_id=price.id,
            )
        )
    positions.ladder[use.sku, month] += units
    if positions.ladder[use.sku, month] > UNITS_MAX:
        raise LedgerFault(f"more {use.sku} in {month} than the ledger carries")
    return lines


def _covered_line(use: Usage, price: Price, pack: Pack, units: int, position: int) -> Line:
    """Costs nothing; shows what it would have cost at the ladder's current tier, rounded by itself (P2)."""
    tier = next_tier(price.tiers, position)
    price_e8 = price.tiers[tier - 1].price_e8
    return Line(
        use.instance,
        use.region,
        use.meter,
        "free" if pack.source is Source.FREE else "pack",
        units,
        price_e8,
        price.per,
        list_e8=R(units, price_e8, price.per),
        amount_e8=0,
        tier=_shown_tier(use, tier),
        price_id=price.id,
        pack_key=pack.key,
    )


def _instance_line(use: Usage) -> Line:
    """Packs never cover instance fees (B36); an amount of whole seconds is exact (B41)."""
    amount_e8 = use.units * use.price_e8
    return Line(use.instance, use.region, use.meter, "instance", use.units, use.price_e8, 1, amount_e8, amount_e8)


def _shown_tier(use: Usage, tier: int) -> int | None:
    return tier if use.sku == CALLS else None
