"""What every settlement of a tick goes by, the same for all accounts."""

from collections.abc import Mapping
from dataclasses import dataclass

from billing.basis import BasisHistory
from billing.prices import PriceList


@dataclass(frozen=True, slots=True)
class Terms:
    """Prices, the billed basis, which meters are which SKU by type of instance, and where packs do not count."""

    prices: PriceList
    basis: BasisHistory
    skus: Mapping[str, Mapping[str, str]]
    regions_without_packs: frozenset[str] = frozenset()
