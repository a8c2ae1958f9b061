"""Price books: what a call, a gigabyte and a second cost (`prices/*.yaml`; B21-B26, X9, X30). Money is e8."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from config.bounds import Many, Text
from config.catalog import Strict
from config.documents import read_document, validated
from config.money import format_e8, parse_amount_e8, parse_price_e8

FOLDER = Path(__file__).parent / "prices"
_SCHEMA = WithJsonSchema(
    {"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,8})?$", "description": "a quoted decimal"}
)
Money = Annotated[int, BeforeValidator(parse_amount_e8), PlainSerializer(format_e8, when_used="json"), _SCHEMA]
UnitPrice = Annotated[int, BeforeValidator(parse_price_e8), PlainSerializer(format_e8, when_used="json"), _SCHEMA]
PACK_UNITS_MAX: Final = 2**60  # of calls or bytes in one pack
PackMeter = Literal["calls", "egress"]
PackUnits = Annotated[int, Field(ge=1, le=PACK_UNITS_MAX)]
Meter = Literal["out_client", "out_backend"]


class Tier(Strict):
    """``price`` for 10,000 calls, up to and with call number ``up_to`` of the month; null: the rest (B21)."""

    up_to: int | None = Field(ge=1, le=10**15)
    price: UnitPrice


def _rising(tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
    """Every call has one tier: bounds rise, and the last has none."""
    bounds = [tier.up_to for tier in tiers]
    known = [bound for bound in bounds[:-1] if bound is not None]
    if bounds[-1] is not None or len(known) < len(bounds) - 1 or any(a >= b for a, b in pairwise(known)):
        raise ValueError("bounds have to rise and end with `up_to: null` (B21)")
    return tiers


class InstancePrice(Strict):
    """Of a dedicated spec: by the second, or a month paid ahead (B40, B41)."""

    per_second: UnitPrice
    per_month: Money
    sample: bool = False


class PackMeters(Strict):
    """How much of each meter a pack has."""

    calls: PackUnits | None = None
    egress: PackUnits | None = None


class PackOffer(Strict):
    """A pack to buy: ``quantity`` calls, or bytes of egress; or ``meters`` in their place, for several (B31)."""

    id: Text
    meter: PackMeter | None = None
    quantity: PackUnits | None = None
    meters: PackMeters | None = None
    months: int = Field(ge=1, le=60)
    price: Money
    sample: bool = False

    @model_validator(mode="after")
    def _meters(self) -> PackOffer:
        single = [value for value in (self.meter, self.quantity) if value is not None]
        if not self.units or len(single) != (2 if self.meters is None else 0):
            raise ValueError("a pack has a meter and a quantity, or `meters` with a quantity of each")
        return self

    @property
    def units(self) -> dict[str, int]:
        """By meter."""
        if self.meters is None:
            return {str(self.meter): self.quantity or 0}
        return {name: units for name, units in self.meters if units is not None}


class EgressMeters(Strict):
    """Which bytes are billed, by kind of instance (B7, B8; X12 keeps it switchable)."""

    shared: Many[Meter] = Field(max_length=2)
    dedicated: Many[Meter] = Field(max_length=2)


class PriceBook(Strict):
    version: int = Field(ge=1, le=1)
    id: Text
    currency: str = Field(pattern="^[A-Z]{3}$")
    calls: Annotated[Many[Tier], Field(min_length=1, max_length=100), AfterValidator(_rising)]
    egress: dict[Text, UnitPrice] = Field(max_length=1000)
    egress_meters: EgressMeters
    instances: dict[Text, InstancePrice] = Field(max_length=1000)
    packs: Many[PackOffer] = Field(default=(), max_length=1000)
    sells_packs: bool = True

    @property
    def call_tiers(self) -> tuple[tuple[int | None, int], ...]:
        """(up to and with call number, e8 for 10,000) of each tier."""
        return tuple((tier.up_to, tier.price) for tier in self.calls)


def load_price_book(name: str | Path) -> PriceBook:
    """`usd`, `cny`, or a path. Raises ConfigError."""
    path = FOLDER / f"{name}.yaml" if str(name) in ("usd", "cny") else Path(name)
    return validated(PriceBook, read_document(path))
