"""The rules once more, as directly as they can be said: in fractions, without a store.

Knows usage (late or not), packs, tiers and prices that change. Money never runs out.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Any

GIB = 2**30
HOUR = 3600
# (from_hour, sku, region, tiers [(up_to, price)]), in order of entry.
Prices = list[tuple[int, str, str | None, list[tuple[int | None, Fraction]]]]
Row = tuple[str, str, str, int]  # meter, region, instance, units


def half_up(exact: Fraction) -> int:
    return floor(exact + Fraction(1, 2))


@dataclass
class ModelPack:
    id: str
    meter: str
    is_free: bool
    begins: int
    ends: int
    left: int
    number: int


@dataclass
class Model:
    """What one account used and owes for it. Several may have the same `prices`."""

    prices: Prices
    packs: list[ModelPack] = field(default_factory=list)
    paid_calls: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    exact: defaultdict[tuple[Any, ...], Fraction] = field(default_factory=lambda: defaultdict(Fraction))

    def price(self, sku: str, region: str | None, hour: int) -> tuple[int, list[tuple[int | None, Fraction]]]:
        """The version in force, by number, and its tiers."""
        fitting = [
            (from_hour, number, tiers)
            for number, (from_hour, of, where, tiers) in enumerate(self.prices)
            if (of, where) == (sku, region) and from_hour <= hour
        ]
        _, number, tiers = max(fitting, key=lambda version: version[:2])
        return number, tiers

    def settle(self, hour: int, month: str, rows: Sequence[Row]) -> int:
        """Rate the rows of one hour; what they add to the rounded totals, e8."""

        def rank(row: Row) -> tuple[Any, ...]:
            meter, region, instance, _ = row
            dearest_first = 0 if meter == "calls" else -self.price("egress", region, hour)[1][0][1]
            return (meter != "calls", dearest_first, region, instance, meter == "out_backend")

        amount_e8 = 0
        for meter, region, _, units in sorted(rows, key=rank):
            sku = "calls" if meter == "calls" else "egress"
            units -= self.cover(sku, hour, units)
            if sku == "calls":
                amount_e8 += self.pay_calls(hour, month, units)
            else:
                version, tiers = self.price(sku, region, hour)
                amount_e8 += self.add((month, sku, region, version), tiers[0][1] * units / GIB)
        return amount_e8

    def cover(self, sku: str, hour: int, units: int) -> int:
        covered = 0
        usable = [pack for pack in self.packs if pack.meter == sku and pack.begins <= hour < pack.ends]
        for pack in sorted(usable, key=lambda p: (not p.is_free, p.ends, p.begins, p.number)):
            part = min(pack.left, units - covered)
            pack.left -= part
            covered += part
        return covered

    def pay_calls(self, hour: int, month: str, units: int) -> int:
        """Each tier has the calls of this month whose numbers are its own (B21)."""
        first, last = self.paid_calls[month] + 1, self.paid_calls[month] + units
        self.paid_calls[month] = last
        version, tiers = self.price("calls", None, hour)
        amount_e8, lowest = 0, 1
        for number, (up_to, price) in enumerate(tiers):
            highest = last if up_to is None else up_to
            inside = len(range(max(first, lowest), min(last, highest) + 1))
            amount_e8 += self.add((month, "calls", version, number), price * inside / 10_000)
            lowest = highest + 1
        return amount_e8

    def add(self, key: tuple[Any, ...], amount: Fraction) -> int:
        """One accumulator, rounded as a whole (P2); by how many e8 that total grew."""
        if not amount:
            return 0
        before, after = self.exact[key], self.exact[key] + amount
        self.exact[key] = after
        return half_up(after * 10**8) - half_up(before * 10**8)

    def totals_e8(self) -> dict[str, int]:
        """Each accumulator rounded half up (P2), by month."""
        totals: defaultdict[str, int] = defaultdict(int)
        for (month, *_), amount in self.exact.items():
            totals[month] += half_up(amount * 10**8)
        return dict(totals)
