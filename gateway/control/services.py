"""The services of the node: those of the configuration file, and those made over the API (DESIGN 1.7).

The file's follow the file. The API's are kept in data_dir/services.json, as they were handed in, until deleted; one
that a changed configuration no longer allows stays there and is not served.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from config.catalog import Catalog
from config.errors import ConfigError, Fault
from config.loading import parse_service
from config.schema import ServiceSettings, Settings
from gateway.control.durable import write_atomically
from gateway.control.errors import Refusal
from gateway.control.room import Room

Document = dict[str, Any]


class ApiService(NamedTuple):
    """One service made over the API: what was handed in, and what that means."""

    document: Document
    settings: ServiceSettings


class ServiceBook:
    """Not thread-safe: used on the store's thread only."""

    def __init__(self, data_dir: Path, settings: Settings, catalog: Catalog) -> None:
        self._path = data_dir / "services.json"
        self._settings = settings
        self._catalog = catalog
        self._room = Room()
        self._made: list[ApiService] = []
        self._unserved: list[Document] = []
        self.revision = 0  # grows with every change

    def load(self, settings: Settings, catalog: Catalog) -> list[Fault]:
        """Read the file of API services against these settings. The faults of those that cannot be served."""
        documents = orjson.loads(self._path.read_bytes())["services"] if self._path.exists() else []
        self._settings, self._catalog = settings, catalog
        self._made, self._unserved = [], []
        self.revision += 1
        faults: list[Fault] = []
        for document in documents:
            try:
                self._made.append(self._checked(document, self.services()))
            except Refusal as refusal:
                self._unserved.append(document)
                place = f"services.json: {document.get('id')}"
                faults += [Fault(f"{place}: {fault.path}", fault.message) for fault in refusal.faults]
                if not refusal.faults:
                    faults.append(Fault(place, refusal.detail))
        return faults

    def services(self) -> list[ServiceSettings]:
        """All that are served: the file's, then the API's."""
        return [*self._settings.services, *(made.settings for made in self._made)]

    def describe(self) -> list[Document]:
        """All of them as documents, with their `source`."""
        listed = [{**_document(service), "source": "file"} for service in self._settings.services]
        return listed + [{**_document(made.settings), "source": "api"} for made in self._made]

    def add(self, document: Document) -> Document:
        """Raises Refusal: exists, invalid, service_limit, and what `Room.require` does."""
        id = document.get("id")
        if any(service.id == id for service in self.services()) or any(d.get("id") == id for d in self._unserved):
            raise Refusal("exists", f"there is a service {id}")
        made = self._checked(document, self.services())
        self._write([*self._made, made], self._unserved)
        return {**_document(made.settings), "source": "api"}

    def change(self, id: str, document: Document) -> Document:
        """Put another document in the place of an API service's. Raises Refusal: not_found, from_file, and as `add`."""
        self._require_made(id)
        if document.setdefault("id", id) != id:
            raise Refusal("invalid", "the id does not change", [Fault("id", f"has to be {id}, as in the address")])
        others = [service for service in self.services() if service.id != id]
        changed = self._checked(document, others)
        made = [changed if one.settings.id == id else one for one in self._made]
        if changed not in made:
            made.append(changed)
        self._write(made, [one for one in self._unserved if one.get("id") != id])
        return {**_document(changed.settings), "source": "api"}

    def remove(self, id: str) -> None:
        """Raises Refusal: not_found, from_file."""
        self._require_made(id)
        self._write(
            [one for one in self._made if one.settings.id != id],
            [one for one in self._unserved if one.get("id") != id],
        )

    def _require_made(self, id: str) -> None:
        if any(one.settings.id == id for one in self._made) or any(one.get("id") == id for one in self._unserved):
            return
        if any(service.id == id for service in self._settings.services):
            raise Refusal("from_file", f"service {id} is in the configuration file, and follows it")
        raise Refusal("not_found", f"there is no service {id}")

    def _checked(self, document: Document, others: Sequence[ServiceSettings]) -> ApiService:
        try:
            service = parse_service(document, self._settings, others)
        except ConfigError as error:
            raise Refusal("invalid", "the service is not valid", error.faults) from None
        instance = next(one for one in self._settings.instances if one.id == service.instance)
        services_max = self._catalog.services_max(instance)
        if sum(other.instance == instance.id for other in others) >= services_max:
            raise Refusal("service_limit", f"instance {instance.id} takes {services_max} services, and has them (L2)")
        self._room.require(service, others, self._settings, self._catalog)
        return ApiService(document, service)

    def _write(self, made: list[ApiService], unserved: list[Document]) -> None:
        """To the disk first: what was promised over the API is there after a power loss."""
        content = {"services": [*(one.document for one in made), *unserved]}
        write_atomically(self._path, orjson.dumps(content, option=orjson.OPT_INDENT_2))
        self._made, self._unserved = made, unserved
        self.revision += 1


def _document(service: ServiceSettings) -> Document:
    return service.model_dump(mode="json")
