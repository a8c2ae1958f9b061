"""What usage costs, as the purchase guide says it. Pure: units and a price in, the working out.

Calls: "0 < N ≤ 10 million: 0.0089; 10 million < N ≤ 100 million: 0.0059; N > 100 million: 0.0045 dollars for 10,000
calls", N being the calls paid for in the natural month. A ladder that starts again each month, and each call costs
what its own rung costs (B21, B22). So 150 million calls are 1,000 × 0.0089 + 9,000 × 0.0059 + 5,000 × 0.0045 = 84.50.

Traffic: "the price of a GB × what the hour adds up to", however much or little that is: a ladder with one rung, and
no rounding up to a whole GB (B23, B24). So 1 GB and 200 MB at 0.12 are 0.1434375.

What is free, or comes out of a pack, never gets here: charging.py takes it off first (B19).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from billing.errors import LedgerFault
from billing.rounding import R

CALLS_PER: Final = 10_000  # calls are priced by the ten thousand (B21)
GIB: Final = 2**30  # traffic by the GB, of 2^30 bytes (B10)
# Of a month at one price: what 64 bits hold twice.
TOTAL_MAX_E8: Final = 2**62


@dataclass(frozen=True, slots=True)
class Tier:
    """A rung: up to and including unit number `up_to` of the month (None: no end), each at `price_e8` / `Price.per`."""

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
    """On which rungs the next `units` fall, when `position` of the month were paid for before (B21, B27).

    With 9,999,000 behind and 3,000 to come: 1,000 on the first rung, 2,000 on the second (G4).
    """
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
    """All that was rated at one price and tier in a month (P2). Its amount is the rounded total, so that the lines of
    a month add up to it, however its usage fell into hours (G9)."""

    quantity: int = 0
    amount_e8: int = 0

    def add(self, units: int, price_e8: int, per: int) -> int:
        """What the units add to the rounded total. It may be nothing: the next units carry the fraction on."""
        self.quantity += units
        total_e8 = R(self.quantity, price_e8, per)
        if total_e8 > TOTAL_MAX_E8:
            raise LedgerFault("a month's total leaves what the ledger carries")
        added_e8 = total_e8 - self.amount_e8
        self.amount_e8 = total_e8
        return added_e8
