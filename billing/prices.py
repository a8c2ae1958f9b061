"""Which price is in force in an hour. Versions are only ever added (RULES C.2, P10)."""

from collections.abc import Iterable, Iterator
from typing import Final

from billing.rating import CALLS_PER, GIB, Price

CALLS: Final = "calls"
EGRESS: Final = "egress"
PER: Final = {CALLS: CALLS_PER, EGRESS: GIB}


class PriceList:
    """All versions of all prices. A later version (by hour, then by order of entry) replaces an earlier one."""

    def __init__(self, versions: Iterable[Price]) -> None:
        self._versions: dict[tuple[str, str | None], list[Price]] = {}
        for price in sorted(versions, key=lambda price: (price.from_hour, price.id), reverse=True):
            self._versions.setdefault((price.sku, price.region), []).append(price)

    def versions(self) -> Iterator[Price]:
        for versions in self._versions.values():
            yield from versions

    def in_force(self, sku: str, region: str | None, hour: int) -> Price:
        """The price of a SKU in an hour; calls have one price everywhere (X6), traffic one in each region (B12)."""
        for price in self._versions.get((sku, region), ()):
            if price.from_hour <= hour:
                return price
        raise KeyError(f"no price for {sku} in {region} at hour {hour}")

    def latest(self, sku: str, region: str | None) -> Price | None:
        """The newest version, perhaps of an hour to come."""
        versions = self._versions.get((sku, region))
        return versions[0] if versions else None
