"""The parts of a scenario, each checked by itself (DESIGN 1.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from config.catalog import Strict
from config.instants import parse_instant
from config.money import parse_amount_e8, parse_price_e8
from config.texts import is_plain

# Bounds of a single event; products with any price stay within the 64 bits of the store.
CALLS_MAX: Final = 10**13
BYTES_MAX: Final = 2**60


def _plain(text: str) -> str:
    if not is_plain(text):
        raise ValueError("has control characters")
    return text


Instant = Annotated[int, BeforeValidator(parse_instant)]
Money = Annotated[int, BeforeValidator(parse_amount_e8)]
Price = Annotated[int, BeforeValidator(parse_price_e8)]
Id = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_plain)]
SHARED: Final = "shared"  # the spec of an instance that costs nothing to have (B1)
Calls = Annotated[int, Field(ge=0, le=CALLS_MAX)]
Bytes = Annotated[int, Field(ge=0, le=BYTES_MAX)]


def _one_of(text: str, *allowed: str) -> BeforeValidator:
    """One of these, or a fault that says why not another."""

    def check(value: object) -> object:
        if value not in allowed:
            raise ValueError(f"{' or '.join(allowed)} is needed: {text}")
        return value

    return BeforeValidator(check)


Months = Annotated[int, Field(ge=1, le=1200)]
PackMeter = Annotated[Literal["calls", "egress"], _one_of("there are packs of no other meter (B28)", "calls", "egress")]
PackUnits = Annotated[int, Field(ge=1, le=BYTES_MAX)]


class _Part(Strict):
    """No value is bent into shape: `"5"` is no number, and `true` neither."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What its fields say against each other: (field, message)."""
        yield from ()


class ScenarioAccount(_Part):
    id: Id
    entity: Id | None = None
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    activated_at: Instant
    free_quota: bool = True
    alert_below: Money | None = None


class ScenarioInstance(_Part):
    """Exists from the activation of its account. Dedicated ones are bought, by an event."""

    id: Id
    account: Id
    type: Annotated[Literal["shared"], _one_of("dedicated instances are bought, by an event (B40, B41)", "shared")]
    region: str


class _Event(_Part):
    at: Instant


class TopUp(_Event):
    do: Literal["top_up"]
    account: Id
    cash: Money = 0
    gift: Money = 0
    income: Money = 0


class GiveVoucher(_Event):
    do: Literal["voucher"]
    account: Id
    id: Id
    amount: Money
    expires_at: Instant


class BuyPack(_Event):
    do: Literal["buy_pack"]
    account: Id
    id: Id
    meter: PackMeter | None = None
    quantity: PackUnits | None = None
    meters: dict[PackMeter, PackUnits] | None = None  # in place of both: several (B31)
    months: Months
    price: Money
    source: Annotated[
        Literal["purchase", "campaign"], _one_of("the free quota is given, not bought (P4)", "purchase", "campaign")
    ] = "purchase"

    @property
    def units(self) -> dict[str, int]:
        """By meter."""
        if self.meters is None:
            return {str(self.meter): self.quantity or 0}
        return {str(name): units for name, units in self.meters.items()}

    def faults(self) -> Iterator[tuple[str, str]]:
        for name in ("meter", "quantity"):
            if self.meters is not None and getattr(self, name) is not None:
                yield name, "stands in `meters`"
            if self.meters is None and getattr(self, name) is None:
                yield name, "is missing"
        if self.meters is not None and not self.meters:
            yield "meters", "has none"


class RefundPack(_Event):
    do: Literal["refund_pack"]
    id: Id


class BuyInstance(_Event):
    do: Literal["buy_instance"]
    account: Id
    id: Id
    spec: str  # `shared`: free of fees, at once
    region: str
    charge: Literal["payg", "prepaid"] | None = None
    months: Months | None = None
    price: Money | None = None

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.spec == SHARED:
            for name in ("charge", "months", "price"):
                if getattr(self, name) is not None:
                    yield name, "a shared instance has no fee to be paid (B1)"
            return
        if self.charge is None:
            yield "charge", "is missing: payg or prepaid (B40, B41)"
        if self.charge == "prepaid" and self.months is None:
            yield "months", "is missing: `charge: prepaid` is for months (B40)"
        if self.charge == "payg" and self.months is not None:
            yield "months", "is for `charge: prepaid` only: `payg` is by the second (B41)"


class ReleaseInstance(_Event):
    do: Literal["release_instance"]
    id: Id


class RefundInstance(_Event):
    do: Literal["refund_instance"]
    id: Id


class RenewInstance(_Event):
    do: Literal["renew_instance"]
    id: Id
    months: Months


class Use(_Event):
    do: Literal["usage"]
    instance: Id
    calls: Calls = 0
    out_client: Bytes = 0
    out_backend: Bytes = 0
    arrives_at: Instant | None = None

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.arrives_at is not None and self.arrives_at < self.at:
            yield "arrives_at", "usage cannot arrive before it happened"


# Calls by tiers, the same in every region; traffic by region, without tiers.
_PRICED_BY: Final = {"calls": "B21, X6", "egress": "B23"}


class ChangePrice(_Event):
    do: Literal["price"]
    sku: Literal["calls", "egress"]
    region: str | None = None
    price: Price | None = None
    tiers: tuple[tuple[int | None, Price], ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _lists_are_tuples(cls, value: Any) -> Any:
        # Strict models take no list for a tuple, and YAML has nothing else.
        if isinstance(value, Mapping) and isinstance(value.get("tiers"), list):
            tiers = [tuple(tier) if isinstance(tier, list) else tier for tier in value["tiers"]]
            return {**value, "tiers": tuple(tiers)}
        return value

    def faults(self) -> Iterator[tuple[str, str]]:
        needed = ("tiers",) if self.sku == "calls" else ("region", "price")
        for name in ("region", "price", "tiers"):
            value = getattr(self, name)
            if name in needed and value is None:
                yield name, f"is missing: a price of {self.sku} needs it ({_PRICED_BY[self.sku]})"
            if name not in needed and value is not None:
                yield name, f"a price of {self.sku} has none ({_PRICED_BY[self.sku]})"
        if self.sku == "calls" and self.tiers is not None and not _is_ladder([up_to for up_to, _ in self.tiers]):
            yield "tiers", "bounds have to rise from above 0 and end with null (B21)"


def _is_ladder(bounds: list[int | None]) -> bool:
    rising = [bound for bound in bounds[:-1] if bound is not None]
    is_rising = all(a < b for a, b in zip([0, *rising], rising, strict=False))
    return bool(bounds) and bounds[-1] is None and len(rising) == len(bounds) - 1 and is_rising


Event = (
    TopUp
    | GiveVoucher
    | BuyPack
    | RefundPack
    | BuyInstance
    | ReleaseInstance
    | RefundInstance
    | RenewInstance
    | Use
    | ChangePrice
)
EVENTS: Final[dict[str, type[Event]]] = {
    "top_up": TopUp,
    "voucher": GiveVoucher,
    "buy_pack": BuyPack,
    "refund_pack": RefundPack,
    "buy_instance": BuyInstance,
    "release_instance": ReleaseInstance,
    "refund_instance": RefundInstance,
    "renew_instance": RenewInstance,
    "usage": Use,
    "price": ChangePrice,
}
