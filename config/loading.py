"""Files into settings: every fault at once, each with its path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from config.catalog import Catalog, load_catalog
from config.checks import Scope, check, check_bought, check_service, pool_of, routing_keys, too_many_limits
from config.documents import faults_of, read_document, without_collecting
from config.errors import ConfigError, Fault
from config.prices import PriceBook, load_price_book
from config.schema import Account, Entry, InstanceSettings, ServiceSettings, Settings

M = TypeVar("M", bound=BaseModel)
_LISTS: dict[str, type[BaseModel]] = {
    "entry": Entry,
    "accounts": Account,
    "instances": InstanceSettings,
    "services": ServiceSettings,
}


def load_settings(path: str | Path) -> Settings:
    """The settings of a file. Raises ConfigError with all faults, structural ones and those between values."""
    path = Path(path)
    with without_collecting():
        return _load(path)


def _load(path: Path) -> Settings:
    document = read_document(path)
    if not isinstance(document, dict):
        raise ConfigError([Fault(str(path), "a mapping of keys is needed at the top")])
    folder = path.resolve().parent
    _fill_in(document, folder)
    context = {"folder": folder}
    try:
        settings = Settings.model_validate(document, context=context)
        faults: list[Fault] = []
    except ValidationError as error:
        faults = faults_of(error)
        settings = _what_is_sound(document, context)
    catalog, book = _companions(settings, faults)
    faults += check(_scope(settings, document, catalog, book, context))
    if faults:
        raise ConfigError(faults)
    return settings


def parse_service(document: dict[str, Any], settings: Settings, existing: Sequence[ServiceSettings]) -> ServiceSettings:
    """One service as it comes over the API, checked against the settings and the other services.

    Raises ConfigError, paths relative to the document. The instance's count of services is the caller's to check.
    """
    if not isinstance(document, dict):
        raise ConfigError([Fault("", "an object is needed")])
    document = dict(document)
    _default_path(document)
    try:
        service = ServiceSettings.model_validate(document)
    except ValidationError as error:
        raise ConfigError(faults_of(error)) from None
    faults: list[Fault] = []
    scope = _scope_of(settings, faults)
    faults += check_service(scope, service, "")
    instance = scope.instance(service.instance)
    if instance is not None:
        pools = {one.id: pool_of(one) for one in settings.instances}
        taken = {
            key: other.id
            for other in existing
            if other.instance in pools
            for key in routing_keys(other, pools[other.instance])
        }
        for key in routing_keys(service, pool_of(instance)):
            if key in taken:
                faults.append(Fault("path", f"host {key[1]} and path {key[2]} are service {taken[key]}'s"))
                break
    faults += [Fault("routes", fault) for fault, _ in too_many_limits(scope, [*existing, service])]
    if faults:
        raise ConfigError(faults)
    return service


def parse_instance(document: dict[str, Any], settings: Settings) -> InstanceSettings:
    """A dedicated instance as it is bought over the API, checked against the settings; files relative to where the
    process runs. Raises ConfigError, paths relative to the document."""
    try:
        instance = InstanceSettings.model_validate(document, context={"folder": Path.cwd()})
    except ValidationError as error:
        raise ConfigError(faults_of(error)) from None
    faults: list[Fault] = []
    faults += check_bought(_scope_of(settings, faults), instance)
    if faults:
        raise ConfigError(faults)
    return instance


def _scope_of(settings: Settings, faults: list[Fault]) -> Scope:
    """Of settings that were checked before, for what comes beside them."""
    catalog, book = _companions(settings, faults)
    return Scope(
        settings,
        catalog,
        book,
        frozenset(account.id for account in settings.accounts),
        frozenset(instance.id for instance in settings.instances),
        has_entry=bool(settings.entry),
    )


def _fill_in(document: dict[str, Any], folder: Path) -> None:
    """Defaults that stand on other values, and paths in places that are not paths only."""
    for service in _items(document, "services"):
        _default_path(service)
    store = document.setdefault("store", {})
    if isinstance(store, dict):
        url = store.setdefault("url", "sqlite:///./data/tollgate.db")
        if isinstance(url, str) and url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
            store["url"] = f"sqlite:///{folder / url.removeprefix('sqlite:///')}"
    billing = document.get("billing")
    if isinstance(billing, dict) and isinstance(billing.get("price_book"), str):
        book = billing["price_book"]
        if book not in ("usd", "cny"):
            billing["price_book"] = str(folder / book)


def _default_path(service: dict[str, Any]) -> None:
    if "path" not in service and isinstance(service.get("id"), str):
        service["path"] = f"/{service['id']}"


def _items(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    items = document.get(name)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _what_is_sound(document: dict[str, Any], context: dict[str, Any]) -> Settings:
    """The parts that can be read, so that what is wrong between them is found in the same run."""
    values: dict[str, Any] = {}
    for name, info in Settings.model_fields.items():
        if name in _LISTS:
            values[name] = tuple(item for _, item in _sound_items(document, name, context))
        else:
            try:
                values[name] = TypeAdapter[Any](cast(Any, info.annotation)).validate_python(
                    document[name], context=context
                )
            except (ValidationError, KeyError):
                values[name] = None if info.is_required() else info.get_default(call_default_factory=True)
    return Settings.model_construct(**values)


def _sound_items(document: dict[str, Any], name: str, context: dict[str, Any]) -> list[tuple[int, BaseModel]]:
    items = document.get(name)
    sound = []
    for index, item in enumerate(items if isinstance(items, list) else []):
        try:
            sound.append((index, _LISTS[name].model_validate(item, context=context)))
        except ValidationError:
            continue
    return sound


def _scope(
    settings: Settings, document: dict[str, Any], catalog: Catalog, book: PriceBook, context: dict[str, Any]
) -> Scope:
    places: dict[int, str] = {}
    for name in ("accounts", "instances", "services"):
        count = len(_items(document, name))
        if len(getattr(settings, name)) == count:
            indexes = list(range(count))
        else:  # Some were left out for their faults: which ones?
            indexes = [index for index, _ in _sound_items(document, name, context)]
        for index, item in zip(indexes, getattr(settings, name), strict=True):
            places[id(item)] = f"{name}[{index}]"
    return Scope(
        settings,
        catalog,
        book,
        frozenset(str(item.get("id")) for item in _items(document, "accounts")),
        frozenset(str(item.get("id")) for item in _items(document, "instances")),
        has_entry=bool(document.get("entry")),
        places=places,
    )


def _companions(settings: Settings, faults: list[Fault]) -> tuple[Catalog, PriceBook]:
    """Catalog and price book; the built-in ones where the named ones cannot be read, so that checking goes on."""
    try:
        catalog = load_catalog(settings.catalog)
    except ConfigError as error:
        faults += [Fault(f"catalog: {fault.path}", fault.message) for fault in error.faults]
        catalog = load_catalog()
    try:
        book = load_price_book(settings.billing.price_book)
    except ConfigError as error:
        faults += [Fault(f"billing.price_book: {fault.path}", fault.message) for fault in error.faults]
        book = load_price_book("usd")
    return catalog, book
