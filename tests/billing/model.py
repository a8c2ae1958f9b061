"""The rules once more, as directly as they can be said: call by call, in fractions, without a store.

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
    """`prices`: (from_hour, sku, region, tiers [(up_to, price)]) in order of entry."""

    prices: list[tuple[int, str, str | None, list[tuple[int | None, Fraction]]]]
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

    def settle(self, hour: int, month: str, rows: Sequence[tuple[str, str, str, int]]) -> None:
        """Rows of one hour: (meter, region, instance, units)."""

        def rank(row: tuple[str, str, str, int]) -> tuple[Any, ...]:
            meter, region, instance, _ = row
            dearest_first = 0 if meter == "calls" else -self.price("egress", region, hour)[1][0][1]
            return (meter != "calls", dearest_first, region, instance, meter == "out_backend")

        for meter, region, _, units in sorted(rows, key=rank):
            sku = "calls" if meter == "calls" else "egress"
            units -= self.cover(sku, hour, units)
            if sku == "calls":
                for _ in range(units):
                    self.pay_call(hour, month)
            else:
                version, tiers = self.price(sku, region, hour)
                self.exact[month, sku, region, version] += tiers[0][1] * units / GIB

    def cover(self, sku: str, hour: int, units: int) -> int:
        covered = 0
        usable = [pack for pack in self.packs if pack.meter == sku and pack.begins <= hour < pack.ends]
        for pack in sorted(usable, key=lambda p: (not p.is_free, p.ends, p.begins, p.number)):
            part = min(pack.left, units - covered)
            pack.left -= part
            covered += part
        return covered

    def pay_call(self, hour: int, month: str) -> None:
        self.paid_calls[month] += 1
        version, tiers = self.price("calls", None, hour)
        for number, (up_to, price) in enumerate(tiers):
            if up_to is None or self.paid_calls[month] <= up_to:
                self.exact[month, "calls", version, number] += price / 10_000
                return

    def totals_e8(self) -> dict[str, int]:
        """Each accumulator rounded half up (P2), by month."""
        totals: defaultdict[str, int] = defaultdict(int)
        for (month, *_), amount in self.exact.items():
            totals[month] += floor(amount * 10**8 + Fraction(1, 2))
        return dict(totals)
