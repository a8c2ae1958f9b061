"""Resource packs: which cover an hour, in what order they burn, which may be given back."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from billing.calendar import hour_of, hour_start, next_full_hour

MONTH_HOURS: Final = 30 * 24  # a pack's month (B31)


class Source(StrEnum):
    """Where a pack came from (B29)."""

    FREE = "free"
    CAMPAIGN = "campaign"
    PURCHASE = "purchase"


class PackState(StrEnum):
    """What the owner sees (P4)."""

    ACTIVE = "active"
    USED_UP = "used_up"
    EXPIRED = "expired"
    REFUNDED = "refunded"


@dataclass(slots=True)
class Pack:
    """A quantity of one meter, valid in `[from_hour, to_hour)`. `key` grows in the order of purchase.

    A pack of several meters is one of these for each, with the same id (B31).
    """

    key: int
    id: str
    meter: str
    source: Source
    total: int
    used: int
    from_hour: int
    to_hour: int
    is_refunded: bool = False
    collected_at: int = 0

    @property
    def left(self) -> int:
        return self.total - self.used

    def covers(self, meter: str, hour: int) -> bool:
        """A pack covers its own meter only (B33), in whole hours of its validity (X17)."""
        return self.meter == meter and self.from_hour <= hour < self.to_hour and not self.is_refunded


def validity(bought_at: int, months: int) -> tuple[int, int]:
    """From the start of the hour of purchase, so at once, to its end and n × 30 × 24 hours on: never short of them
    (B31, X17)."""
    return hour_of(bought_at), next_full_hour(bought_at) + months * MONTH_HOURS


def burn_rank(pack: Pack) -> tuple[bool, int, int, int]:
    """Free first, then what ends first, began first, was bought first (B19, X18, P3)."""
    return (pack.source is not Source.FREE, pack.to_hour, pack.from_hour, pack.key)


def burn(packs: Iterable[Pack], meter: str, hour: int, units: int) -> list[tuple[Pack, int]]:
    """Take up to `units` from the packs that cover the hour; returns what each gave, in the order they burnt."""
    taken = []
    for pack in sorted((p for p in packs if p.left and p.covers(meter, hour)), key=burn_rank):
        if not units:
            break
        part = min(units, pack.left)
        pack.used += part
        units -= part
        taken.append((pack, part))
    return taken


def state_of(pack: Pack, now: int) -> PackState:
    if pack.is_refunded:
        return PackState.REFUNDED
    if now >= hour_start(pack.to_hour):
        return PackState.EXPIRED
    return PackState.ACTIVE if pack.left else PackState.USED_UP


def refund_refusal(pack: Pack, now: int) -> str | None:
    """The first of the guide's four conditions that fails, as a code of DESIGN 1.4, or None (B37, P4)."""
    if pack.is_refunded:
        return "pack_refunded"
    if pack.source is Source.FREE:
        return "pack_source"
    if pack.used:
        return "pack_used"
    if now >= hour_start(pack.to_hour):
        return "pack_expired"
    return None
