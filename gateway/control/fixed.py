"""Settings that a running node does not follow: they are as they were at its start, whatever the file says later.

A node that followed half of them would be two: workers that count in a folder where nobody collects, months that end
at two midnights. So the file's are put aside as a whole, and said, until the next start.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel

from config.catalog import Catalog, load_catalog
from config.prices import PriceBook, load_price_book
from config.schema import Settings
from gateway.control.errors import StartError
from metering.database import sqlite_file

_FIXED: Final = ("node", "admin", "store", "billing", "catalog", "clock")


def as_at_start(settings: Settings) -> Settings:
    """With the folder and the store's file themselves in the place of links to them: where a link leads later is no
    matter of a node that runs."""
    node = settings.node.model_copy(update={"data_dir": settings.node.data_dir.resolve()})
    store, file = settings.store, sqlite_file(settings.store.url)
    if file is not None:
        store = store.model_copy(update={"url": f"sqlite:///{file.resolve()}"})
    return settings.model_copy(update={"node": node, "store": store})


def under(running: Settings, written: Settings) -> tuple[Settings, list[str]]:
    """What a running node goes by once the file is read again, and the settings that it did not take up.

    ``running`` is as `as_at_start` made it.
    """
    now = as_at_start(written)
    changed = [path for name in _FIXED for path in _differing(name, getattr(running, name), getattr(now, name))]
    return now.model_copy(update={name: getattr(running, name) for name in _FIXED}), changed


def _differing(path: str, old: object, new: object) -> list[str]:
    """The settings themselves, not their values: a store's url may hold a password."""
    if isinstance(old, BaseModel) and isinstance(new, BaseModel):
        fields = type(old).model_fields
        return [one for name in fields for one in _differing(f"{path}.{name}", getattr(old, name), getattr(new, name))]
    return [] if old == new else [path]


def changed_files(settings: Settings, catalog: Catalog, price_book: PriceBook) -> list[str]:
    """Of the files that were read at the start: those that say something else now. Raises ConfigError."""
    changed = []
    if load_catalog(settings.catalog) != catalog:
        changed.append("catalog")
    if load_price_book(settings.billing.price_book) != price_book:
        changed.append("billing.price_book")
    return changed


def require_catalog(settings: Settings, catalog: Catalog) -> None:
    """Raises StartError where an instance is of a kind that only the file's new catalog has."""
    for index, one in enumerate(settings.instances):
        if one.region not in catalog.regions or (one.spec is not None and one.spec not in catalog.dedicated):
            raise StartError(
                f"instances[{index}]: the catalog that this node was started with has no such spec or region; "
                "a changed catalog takes effect at the next start"
            )
