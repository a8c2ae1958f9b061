"""What usage costs. Pure: units and a price in, the working out.

Calls go up a ladder of tiers that starts again each month; each call costs what its rung costs (B21, B22).
Traffic costs so much per GiB, however much there is: a ladder with one rung (B23, B24).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from billing.rounding import R

CALLS_PER: Final = 10_000  # call prices are per 万次
GIB: Final = 2**30  # traffic prices are per GB of 2^30 bytes (B10)


@dataclass(frozen=True, slots=True)
class Tier:
    """A rung: up to and including unit number `up_to` of the month (None: no end), at `price_e8` per `Price.per`."""

    up_to: int | None
    price_e8: int


@dataclass(frozen=True, slots=True)
class Price:
    """One version of the price of one SKU, in force from `from_hour` until a later version (P10)."""

    id: int
    sku: str
    region: str | None
    per: int
    tiers: tuple[Tier, ...]
    from_hour: int


@dataclass(frozen=True, slots=True)
class Slice:
    """Units that fall on one rung. `tier` counts from 1."""

    tier: int
    units: int


def graduated(tiers: Sequence[Tier], position: int, units: int) -> list[Slice]:
    """Cut units number `position`+1 to `position`+`units` at the rungs they fall on (B21, B27)."""
    slices = []
    end = position + units
    for number, tier in enumerate(tiers, start=1):
        reach = end if tier.up_to is None else min(end, tier.up_to)
        if reach > position:
            slices.append(Slice(number, reach - position))
            position = reach
    assert position == end, "the last tier is open"
    return slices


def next_tier(tiers: Sequence[Tier], position: int) -> int:
    """The rung on which the next paid unit would fall."""
    return graduated(tiers, position, 1)[0].tier


@dataclass(slots=True)
class Accumulator:
    """All that was rated at one price and tier in a month: its amount is the rounded total (P2, G9)."""

    quantity: int = 0
    amount_e8: int = 0

    def add(self, units: int, price_e8: int, per: int) -> int:
        """What the units add to the rounded total. May be 0; the fraction is not lost, the next units carry it."""
        self.quantity += units
        total_e8 = R(self.quantity, price_e8, per)
        added_e8 = total_e8 - self.amount_e8
        self.amount_e8 = total_e8
        return added_e8
