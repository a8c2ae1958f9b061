"""The input of `tollgate simulate` (DESIGN 1.4): read, checked, every fault with its path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from billing.calendar import DEFAULT_TIMEZONE
from billing.scenario_parts import (
    EVENTS,
    SHARED,
    BuyInstance,
    BuyPack,
    ChangePrice,
    Event,
    GiveVoucher,
    RefundInstance,
    RefundPack,
    ReleaseInstance,
    RenewInstance,
    ScenarioAccount,
    ScenarioInstance,
    TopUp,
    Use,
)
from config.catalog import Catalog, load_catalog
from config.documents import faults_of, read_document
from config.errors import ConfigError, Fault
from config.instants import parse_instant
from config.prices import PriceBook, load_price_book
from config.values import Timezone

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
    timezone: str = DEFAULT_TIMEZONE


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
        known = ("price_book", "timezone", "accounts", "instances", "events", "until")
        self.faults += [Fault(str(key), "unknown key") for key in self.document if key not in known]
        book = self._price_book()
        catalog = load_catalog()
        accounts = dict(self._items("accounts", lambda item: ScenarioAccount))
        instances = dict(self._items("instances", lambda item: ScenarioInstance))
        events = dict(self._items("events", self._event_model))
        until, timezone = self._until(), self._timezone()
        references = _References(
            catalog,
            book,
            accounts,
            instances,
            events,
            account_ids=self._declared("accounts"),
            instance_ids=self._declared("instances") | self._declared("events", "buy_instance"),
            pack_ids=self._declared("events", "buy_pack"),
        )
        self.faults += references.faults()
        self.faults += self._unsorted()
        if self.faults or book is None or until is None:
            raise ConfigError(self.faults)
        return Scenario(
            book, catalog, tuple(accounts.values()), tuple(instances.values()), tuple(events.values()), until, timezone
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

    def _timezone(self) -> str:
        try:
            return str(TypeAdapter(Timezone).validate_python(self.document.get("timezone", DEFAULT_TIMEZONE)))
        except ValidationError as error:
            self.faults += [Fault("timezone", fault.message) for fault in faults_of(error)]
            return DEFAULT_TIMEZONE

    def _until(self) -> int | None:
        if "until" not in self.document:
            self.faults.append(Fault("until", "is missing"))
            return None
        try:
            return parse_instant(self.document["until"])
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
                self.faults.append(Fault(f"{path}.do", f"one of {', '.join(EVENTS)} is needed"))
                continue
            try:
                part = TypeAdapter(model).validate_python(item)
            except ValidationError as error:
                self.faults += [
                    Fault(f"{path}.{fault.path}" if fault.path else path, fault.message) for fault in faults_of(error)
                ]
                continue
            self.faults += [Fault(f"{path}.{name}", message) for name, message in part.faults()]
            yield index, part

    def _declared(self, key: str, do: str | None = None) -> set[str]:
        """Ids that the file declares, also where something else is wrong with the item: one mistake is one fault."""
        items = self.document.get(key)
        found = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        return {str(item.get("id")) for item in found if do is None or item.get("do") == do}

    def _unsorted(self) -> Iterator[Fault]:
        """One fault for each step back, also where something else is wrong with the event."""
        items = self.document.get("events")
        latest: int | None = None
        for index, item in enumerate(items if isinstance(items, list) else ()):
            try:
                instant = parse_instant(item["at"])
            except (KeyError, TypeError, ValueError):
                continue  # A fault of its own.
            if latest is not None and instant < latest:
                yield Fault(f"events[{index}].at", "earlier than the event before it")
            latest = instant

    @staticmethod
    def _event_model(item: Any) -> type[Event] | None:
        do = item.get("do")
        return EVENTS.get(do) if isinstance(do, str) else None


@dataclass
class _References:
    """What one part of the file says of another."""

    catalog: Catalog
    book: PriceBook | None
    accounts: Mapping[int, ScenarioAccount]
    instances: Mapping[int, ScenarioInstance]
    events: Mapping[int, Event]
    account_ids: set[str]
    instance_ids: set[str]
    pack_ids: set[str]

    def faults(self) -> Iterator[Fault]:
        has_grants = any(account.free_quota for account in self.accounts.values())
        yield from _doubled("accounts", {index: account.id for index, account in self.accounts.items()})
        yield from _doubled("instances", {index: instance.id for index, instance in self.instances.items()})
        for index, instance in self.instances.items():
            yield from self._known(f"instances[{index}].account", instance.account, self.account_ids, "account")
            yield from self._region(f"instances[{index}].region", instance.region)
        for index, event in self.events.items():
            path = f"events[{index}]"
            if isinstance(event, TopUp | GiveVoucher | BuyPack | BuyInstance):
                yield from self._known(f"{path}.account", event.account, self.account_ids, "account")
            if isinstance(event, ReleaseInstance | RefundInstance | RenewInstance):
                yield from self._known(f"{path}.id", event.id, self.instance_ids, "instance")
            if isinstance(event, Use):
                yield from self._known(f"{path}.instance", event.instance, self.instance_ids, "instance")
            if isinstance(event, RefundPack) and not (has_grants and _FREE_PACK.fullmatch(event.id)):
                yield from self._known(f"{path}.id", event.id, self.pack_ids, "pack")
            if isinstance(event, BuyInstance | ChangePrice) and event.region is not None:
                yield from self._region(f"{path}.region", event.region)
            if isinstance(event, BuyInstance) and event.spec not in (*self.catalog.dedicated, SHARED):
                yield Fault(f"{path}.spec", f"there is no {event.spec!r} in the catalog (X30)")

    def _known(self, path: str, id: str, ids: set[str], kind: str) -> Iterator[Fault]:
        if id not in ids:
            yield Fault(path, f"no {kind} {id!r} is declared")

    def _region(self, path: str, region: str) -> Iterator[Fault]:
        if region not in self.catalog.regions:
            yield Fault(path, f"unknown region {region!r} (B23)")
        elif self.book is not None and region not in self.book.egress:
            # B23: without a price nothing starts.
            yield Fault(path, f"the price book has no price for {region!r} (B23)")


def _doubled(key: str, ids: Mapping[int, str]) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, id in ids.items():
        if id in seen:
            yield Fault(f"{key}[{index}].id", f"{id!r} is declared twice")
        seen.add(id)
