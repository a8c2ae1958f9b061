"""Price books: what a call, a gigabyte and a second cost (`prices/*.yaml`; B21-B26, X9, X30). Money is e8."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

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
Meter = Literal["out_client", "out_backend"]


class Tier(Strict):
    """``price`` for 10,000 calls, up to and with call number ``up_to`` of the month; null: the rest (B21)."""

    up_to: int | None = Field(ge=1, lt=2**63)
    price: UnitPrice


class InstancePrice(Strict):
    """Of a dedicated spec: by the second, or a month paid ahead (B40, B41)."""

    per_second: UnitPrice
    per_month: Money
    sample: bool = False


class PackOffer(Strict):
    """A pack to buy: ``quantity`` calls, or bytes of egress."""

    id: str
    meter: Literal["calls", "egress"]
    quantity: int = Field(ge=1, le=PACK_UNITS_MAX)
    months: int = Field(ge=1, le=60)
    price: Money
    sample: bool = False


class EgressMeters(Strict):
    """Which bytes are billed, by kind of instance (B7, B8; X12 keeps it switchable)."""

    shared: tuple[Meter, ...]
    dedicated: tuple[Meter, ...]


class PriceBook(Strict):
    version: int = Field(ge=1, le=1)
    id: str
    currency: str = Field(pattern="^[A-Z]{3}$")
    calls: tuple[Tier, ...] = Field(min_length=1)
    egress: dict[str, UnitPrice]
    egress_meters: EgressMeters
    instances: dict[str, InstancePrice]
    packs: tuple[PackOffer, ...] = ()
    sells_packs: bool = True

    @property
    def call_tiers(self) -> tuple[tuple[int | None, int], ...]:
        """(up to and with call number, e8 for 10,000) of each tier."""
        return tuple((tier.up_to, tier.price) for tier in self.calls)


def load_price_book(name: str | Path) -> PriceBook:
    """`usd`, `cny`, or a path. Raises ConfigError."""
    path = FOLDER / f"{name}.yaml" if str(name) in ("usd", "cny") else Path(name)
    return validated(PriceBook, read_document(path))
