"""The input of `tollgate simulate` (DESIGN 1.4): read, checked, every fault with its path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from config.catalog import Catalog, Strict, load_catalog
from config.documents import faults_of, read_document
from config.errors import ConfigError, Fault
from config.money import parse_e8
from config.prices import PriceBook, load_price_book

# Bounds of a single event; products with any price stay within the 64 bits of the store.
CALLS_MAX: Final = 10**13
BYTES_MAX: Final = 2**60


def _instant(value: object) -> int:
    """Epoch seconds of a time with an offset; a fraction is cut off (X29)."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is no time, as 2020-12-01T00:00:00+08:00") from None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("a time with its offset is needed, as 2020-12-01T00:00:00+08:00")
    return int(value.timestamp() // 1)


Instant = Annotated[int, BeforeValidator(_instant)]
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
_EVENTS: Final[dict[str, type[Event]]] = {
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
_FREE_PACK = re.compile(r"free-(?:calls|egress)-(?:[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Scenario:
    """Checked, and complete with its price book and the catalog."""

    price_book: PriceBook
    catalog: Catalog
    accounts: tuple[ScenarioAccount, ...]
    instances: tuple[ScenarioInstance, ...]
    events: tuple[Event, ...]
    until: int


def load_scenario(path: Path) -> Scenario:
    """Raises ConfigError with all faults."""
    return parse_scenario(read_document(path), path.parent)


def parse_scenario(document: object, folder: Path) -> Scenario:
    """From what YAML gave; a relative `price_book` is looked for in `folder`. Raises ConfigError with all faults."""
    if not isinstance(document, dict):
        raise ConfigError([Fault("", "a mapping of keys is needed at the top")])
    return _Reader(document, folder).read()


@dataclass
class _Reader:
    """Gathers faults; what is well-formed by itself is then checked against the rest of the file."""

    document: dict[Any, Any]
    folder: Path
    faults: list[Fault] = field(default_factory=list)

    def read(self) -> Scenario:
        known = ("price_book", "accounts", "instances", "events", "until")
        self.faults += [Fault(str(key), "unknown key") for key in self.document if key not in known]
        book = self._price_book()
        catalog = load_catalog()
        accounts = dict(self._items("accounts", lambda item: ScenarioAccount))
        instances = dict(self._items("instances", lambda item: ScenarioInstance))
        events = dict(self._items("events", self._event_model))
        until = self._until()
        references = _References(catalog, book, accounts, instances, events)
        self.faults += references.faults()
        self.faults += _unsorted(events)
        if self.faults or book is None or until is None:
            raise ConfigError(self.faults)
        return Scenario(
            book, catalog, tuple(accounts.values()), tuple(instances.values()), tuple(events.values()), until
        )

    def _price_book(self) -> PriceBook | None:
        name = self.document.get("price_book", "usd")
        if not isinstance(name, str):
            self.faults.append(Fault("price_book", "usd, cny, or a path"))
            return None
        try:
            return load_price_book(name if name in ("usd", "cny") else self.folder / name)
        except ConfigError as error:
            # Paths are of this file; where the book itself is at fault, its own follow.
            self.faults += [Fault("price_book", str(fault)) for fault in error.faults]
            return None

    def _until(self) -> int | None:
        if "until" not in self.document:
            self.faults.append(Fault("until", "is missing"))
            return None
        try:
            return _instant(self.document["until"])
        except ValueError as error:
            self.faults.append(Fault("until", str(error)))
            return None

    def _items(self, key: str, model_of: Callable[[Any], type[Any] | None]) -> Iterator[tuple[int, Any]]:
        items = self.document.get(key)
        if items is None:
            items = []
        if not isinstance(items, list):
            self.faults.append(Fault(key, "a list is needed"))
            return
        for index, item in enumerate(items):
            path = f"{key}[{index}]"
            if not isinstance(item, dict):
                self.faults.append(Fault(path, "a mapping is needed"))
                continue
            model = model_of(item)
            if model is None:
                self.faults.append(Fault(f"{path}.do", f"one of {', '.join(_EVENTS)} is needed"))
                continue
            try:
                yield index, TypeAdapter(model).validate_python(item)
            except ValidationError as error:
                self.faults += [
                    Fault(f"{path}.{fault.path}" if fault.path else path, fault.message) for fault in faults_of(error)
                ]

    @staticmethod
    def _event_model(item: Any) -> type[Event] | None:
        do = item.get("do")
        return _EVENTS.get(do) if isinstance(do, str) else None


@dataclass
class _References:
    """What one part of the file says of another."""

    catalog: Catalog
    book: PriceBook | None
    accounts: Mapping[int, ScenarioAccount]
    instances: Mapping[int, ScenarioInstance]
    events: Mapping[int, Event]

    def faults(self) -> Iterator[Fault]:
        account_ids = {account.id for account in self.accounts.values()}
        bought = {event.id for event in self.events.values() if isinstance(event, BuyInstance)}
        instance_ids = {instance.id for instance in self.instances.values()} | bought
        pack_ids = {event.id for event in self.events.values() if isinstance(event, BuyPack)}
        has_grants = any(account.free_quota for account in self.accounts.values())
        yield from _doubled("accounts", {index: account.id for index, account in self.accounts.items()})
        yield from _doubled("instances", {index: instance.id for index, instance in self.instances.items()})
        for index, instance in self.instances.items():
            yield from self._known(f"instances[{index}].account", instance.account, account_ids, "account")
            yield from self._region(f"instances[{index}].region", instance.region)
        for index, event in self.events.items():
            path = f"events[{index}]"
            if isinstance(event, TopUp | GiveVoucher | BuyPack | BuyInstance):
                yield from self._known(f"{path}.account", event.account, account_ids, "account")
            if isinstance(event, ReleaseInstance | RefundInstance | RenewInstance):
                yield from self._known(f"{path}.id", event.id, instance_ids, "instance")
            if isinstance(event, Use):
                yield from self._known(f"{path}.instance", event.instance, instance_ids, "instance")
            if isinstance(event, RefundPack) and not (has_grants and _FREE_PACK.fullmatch(event.id)):
                yield from self._known(f"{path}.id", event.id, pack_ids, "pack")
            if isinstance(event, BuyInstance | ChangePrice) and event.region is not None:
                yield from self._region(f"{path}.region", event.region)
            if isinstance(event, BuyInstance) and event.spec not in self.catalog.dedicated:
                yield Fault(f"{path}.spec", f"there is no {event.spec!r} in the catalog")

    def _known(self, path: str, id: str, ids: set[str], kind: str) -> Iterator[Fault]:
        if id not in ids:
            yield Fault(path, f"no {kind} {id!r} is declared")

    def _region(self, path: str, region: str) -> Iterator[Fault]:
        if region not in self.catalog.regions:
            yield Fault(path, f"unknown region {region!r}")
        elif self.book is not None and region not in self.book.egress:
            # B23: without a price nothing starts.
            yield Fault(path, f"the price book has no price for {region!r}")


def _doubled(key: str, ids: Mapping[int, str]) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, id in ids.items():
        if id in seen:
            yield Fault(f"{key}[{index}].id", f"{id!r} is declared twice")
        seen.add(id)


def _unsorted(events: Mapping[int, Event]) -> Iterator[Fault]:
    latest = None
    for index, event in events.items():
        if latest is not None and event.at < latest:
            yield Fault(f"events[{index}].at", "earlier than the event before it")
        latest = event.at if latest is None else max(latest, event.at)
