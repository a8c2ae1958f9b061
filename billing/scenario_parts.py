"""The parts of a scenario, each checked by itself (DESIGN 1.4)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from config.catalog import Strict
from config.money import parse_e8

# Bounds of a single event; products with any price stay within the 64 bits of the store.
CALLS_MAX: Final = 10**13
BYTES_MAX: Final = 2**60


def instant_of(value: object) -> int:
    """Epoch seconds of a time with an offset; a fraction is cut off (X29)."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is no time, as 2020-12-01T00:00:00+08:00") from None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("a time with its offset is needed, as 2020-12-01T00:00:00+08:00")
    return int(value.timestamp() // 1)


Instant = Annotated[int, BeforeValidator(instant_of)]
Money = Annotated[int, BeforeValidator(parse_e8)]
Id = Annotated[str, Field(min_length=1, max_length=128)]
Calls = Annotated[int, Field(ge=0, le=CALLS_MAX)]
Bytes = Annotated[int, Field(ge=0, le=BYTES_MAX)]
Months = Annotated[int, Field(ge=1, le=1200)]


class _Part(Strict):
    """No value is bent into shape: `"5"` is no number, and `true` neither."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


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
    type: Literal["shared"]
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
    meter: Literal["calls", "egress"]
    quantity: Annotated[int, Field(ge=1, le=BYTES_MAX)]
    months: Months
    price: Money
    source: Literal["purchase", "campaign"] = "purchase"


class RefundPack(_Event):
    do: Literal["refund_pack"]
    id: Id


class BuyInstance(_Event):
    do: Literal["buy_instance"]
    account: Id
    id: Id
    spec: str
    region: str
    charge: Literal["payg", "prepaid"]
    months: Months | None = None
    price: Money | None = None

    @model_validator(mode="after")
    def _months_are_for_prepaid(self) -> BuyInstance:
        if (self.charge == "prepaid") != (self.months is not None):
            raise ValueError("`months` and `charge: prepaid` come together")
        return self


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

    @model_validator(mode="after")
    def _arrives_after_it_happened(self) -> Use:
        if self.arrives_at is not None and self.arrives_at < self.at:
            raise ValueError("usage cannot arrive before it happened")
        return self


class ChangePrice(_Event):
    do: Literal["price"]
    sku: Literal["calls", "egress"]
    region: str | None = None
    price: Money | None = None
    tiers: tuple[tuple[int | None, Money], ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _lists_are_tuples(cls, value: Any) -> Any:
        # Strict models take no list for a tuple, and YAML has nothing else.
        if isinstance(value, Mapping) and isinstance(value.get("tiers"), list):
            tiers = [tuple(tier) if isinstance(tier, list) else tier for tier in value["tiers"]]
            return {**value, "tiers": tuple(tiers)}
        return value

    @model_validator(mode="after")
    def _calls_have_tiers_and_egress_a_price(self) -> ChangePrice:
        if self.sku == "calls":
            if self.tiers is None or self.price is not None or self.region is not None:
                raise ValueError("a price of calls has `tiers`, and neither `price` nor `region`")
            bounds = [up_to for up_to, _ in self.tiers]
            rising = [bound for bound in bounds[:-1] if bound is not None]
            is_rising = all(a < b for a, b in zip([0, *rising], rising, strict=False))
            if not bounds or bounds[-1] is not None or len(rising) != len(bounds) - 1 or not is_rising:
                raise ValueError("`tiers` have rising bounds and end with null")
        elif self.tiers is not None or self.price is None or self.region is None:
            raise ValueError("a price of egress has `region` and `price`, and no `tiers`")
        return self


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
