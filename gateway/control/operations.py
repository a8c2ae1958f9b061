"""Documents of money operations as they are handed in, checked; every fault is named by its path."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from config.bounds import Many, Text
from config.catalog import Strict
from config.documents import faults_of
from config.instants import parse_month
from config.prices import PACK_UNITS_MAX, Money
from config.schema import Entry, Prepaid
from config.texts import is_plain
from config.values import Address, BodyMax, Id, Instant, Qps, Share
from gateway.control.errors import Refusal

M = TypeVar("M", bound=Strict)

Meter = Literal["calls", "egress_client", "egress_backend", "instance_seconds"]
Months = Annotated[int, Field(ge=1, le=60)]


def _plain(text: str) -> str:
    """It is shown on bills, in terminals and spreadsheets."""
    if not is_plain(text):
        raise ValueError("has control characters")
    return text


class VoucherGrant(Strict):
    id: Id
    amount: Money
    expires_at: Instant


class InstancePurchase(Strict):
    """A dedicated one; `price` a month or a second, else the price book's. From `entry` on: as in the file."""

    account: Text
    id: Id
    spec: Text
    region: Text
    charge: Literal["payg"] | Prepaid = "payg"
    price: Money | None = None
    entry: Annotated[Many[Entry], Field(min_length=1, max_length=16)] | None = None
    qps: Qps | None = None
    workers: int | None = Field(default=None, ge=1, le=64)
    body_max: BodyMax | None = None
    egress_ip: Address | None = None
    access_log: Share | None = None


# What only an instance with an entry has a use for.
SERVING_KEYS: Final = ("qps", "workers", "body_max", "egress_ip", "access_log")


class Renewal(Strict):
    months: Months


class Adjustment(Strict):
    """`amount` is given back."""

    hour: Instant
    instance: Text
    meter: Meter
    amount: Annotated[Money, Field(gt=0)]
    reason: Annotated[str, Field(min_length=3, max_length=500, pattern=r"\S"), AfterValidator(_plain)]


class Veto(Strict):
    vetoed: bool


class WishedPack(Strict):
    meter: Literal["calls", "egress"]
    quantity: int = Field(ge=1, le=PACK_UNITS_MAX)
    months: Months
    price: Money


class WhatIf(Strict):
    """At least one wish beside the month."""

    month: Annotated[str, AfterValidator(parse_month)]
    price_book: Literal["usd", "cny"] | None = None
    pack: WishedPack | None = None
    spec: Text | None = None


def parsed(model: type[M], document: dict[str, Any]) -> M:
    """Raises Refusal `invalid` with every fault."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise Refusal("invalid", "the content is not valid", faults_of(error)) from None
