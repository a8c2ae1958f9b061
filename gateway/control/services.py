"""The services of the node: those of the configuration file, and those made over the API (DESIGN 1.7).

The file's follow the file. The API's are kept in data_dir/services.json, as they were handed in, until deleted. A file
that leaves no place for one that is served is not taken up while the node runs. What the file of a start leaves no
place for stays here, and is listed as not served, with the reason, until somebody acts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from pydantic import ValidationError

from config.catalog import Catalog
from config.errors import ConfigError, Fault
from config.loading import parse_service
from config.schema import ServiceSettings, Settings
from gateway.control.durable import write_atomically
from gateway.control.errors import Refusal
from gateway.control.room import Room

Document = dict[str, Any]
# What is shown of a service beside what it was made of; handed in unchanged, it changes nothing.
_READ_ONLY: Final = ("source", "not_served")


class ApiService(NamedTuple):
    """One service made over the API: what was handed in, and what that means."""

    document: Document
    settings: ServiceSettings


class Unserved(NamedTuple):
    """One that cannot be served beside the others, and why."""

    document: Document
    faults: Sequence[Fault]

    @property
    def reason(self) -> str:
        return "; ".join(map(str, self.faults))


class Reading(NamedTuple):
    """The API's services as they are beside certain settings."""

    settings: Settings
    catalog: Catalog
    made: list[ApiService]
    unserved: list[Unserved]


class ServiceBook:
    """Not thread-safe: used on the store's thread only."""

    def __init__(self, data_dir: Path, settings: Settings, catalog: Catalog) -> None:
        self._path = data_dir / "services.json"
        self._settings = settings
        self._catalog = catalog
        self._room = Room()
        self._made: list[ApiService] = []
        self._unserved: list[Unserved] = []
        self.revision = 0  # grows with every change

    def read(self, settings: Settings, catalog: Catalog) -> Reading:
        """The file of API services against these settings. Changes nothing."""
        documents = orjson.loads(self._path.read_bytes())["services"] if self._path.exists() else []
        reading = Reading(settings, catalog, [], [])
        for document in documents:
            others = [*settings.services, *(one.settings for one in reading.made)]
            try:
                reading.made.append(self._checked(document, others, settings, catalog))
            except Refusal as refusal:
                reading.unserved.append(Unserved(document, refusal.faults or [Fault("", refusal.detail)]))
        return reading

    def lost(self, reading: Reading) -> list[Fault]:
        """Why services that are served would be no more. Those whose instance goes, go with it: that is said."""
        served, instances = {one.settings.id for one in self._made}, {one.id for one in reading.settings.instances}
        return _placed(
            one
            for one in reading.unserved
            if one.document.get("id") in served and one.document.get("instance") in instances
        )

    def follow(self, reading: Reading) -> list[Fault]:
        """Go by it from here on. The faults of those that are not served."""
        self._settings, self._catalog, self._made, self._unserved = reading
        self.revision += 1
        return _placed(self._unserved)

    def load(self, settings: Settings, catalog: Catalog) -> list[Fault]:
        return self.follow(self.read(settings, catalog))

    @property
    def not_served(self) -> int:
        return len(self._unserved)

    def services(self) -> list[ServiceSettings]:
        """All that are served: the file's, then the API's."""
        return [*self._settings.services, *(made.settings for made in self._made)]

    def describe(self) -> list[Document]:
        """All of them as documents, with their `source`, and the reason of those that are not served."""
        listed = [_shown(_document(service), "file") for service in self._settings.services]
        listed += [_shown(_document(made.settings)) for made in self._made]
        return listed + [_shown(_read_alone(one.document), not_served=one.reason) for one in self._unserved]

    def add(self, document: Document) -> Document:
        """Raises Refusal: exists, invalid, service_limit, and what `Room.require` does."""
        id = document.get("id")
        if any(service.id == id for service in self.services()):
            raise Refusal("exists", f"there is a service {id}")
        for one in self._unserved:
            if one.document.get("id") == id:
                raise Refusal("exists", f"there is a service {id}, which is not served: {one.reason}")
        document = _written(document, _shown({}))
        made = self._checked(document, self.services(), self._settings, self._catalog)
        self._write([*self._made, made], self._unserved)
        return _shown(_document(made.settings))

    def change(self, id: str, document: Document) -> Document:
        """Put another document in the place of an API service's. Raises Refusal: not_found, from_file, and as `add`."""
        self._require_made(id)
        if any(service.id == id for service in self._settings.services):
            raise Refusal("exists", f"the configuration file has a service {id} by now: this one can be deleted")
        document = _written(document, next(one for one in self.describe() if one["id"] == id))
        if document.setdefault("id", id) != id:
            raise Refusal("invalid", "the id does not change", [Fault("id", f"has to be {id}, as in the address")])
        others = [service for service in self.services() if service.id != id]
        changed = self._checked(document, others, self._settings, self._catalog)
        made = [changed if one.settings.id == id else one for one in self._made]
        if changed not in made:
            made.append(changed)
        self._write(made, [one for one in self._unserved if one.document.get("id") != id])
        return _shown(_document(changed.settings))

    def remove(self, id: str) -> None:
        """Raises Refusal: not_found, from_file."""
        self._require_made(id)
        self._write(
            [one for one in self._made if one.settings.id != id],
            [one for one in self._unserved if one.document.get("id") != id],
        )

    def _require_made(self, id: str) -> None:
        if any(one.settings.id == id for one in self._made) or any(
            one.document.get("id") == id for one in self._unserved
        ):
            return
        if any(service.id == id for service in self._settings.services):
            raise Refusal("from_file", f"service {id} is in the configuration file, and follows it")
        raise Refusal("not_found", f"there is no service {id}")

    def _checked(
        self, document: Document, others: Sequence[ServiceSettings], settings: Settings, catalog: Catalog
    ) -> ApiService:
        if any(other.id == document.get("id") for other in others):
            raise Refusal("exists", f"there is another service {document.get('id')}")
        try:
            service = parse_service(document, settings, others)
        except ConfigError as error:
            raise Refusal("invalid", "the service is not valid", error.faults) from None
        instance = next(one for one in settings.instances if one.id == service.instance)
        services_max = catalog.services_max(instance)
        if sum(other.instance == instance.id for other in others) >= services_max:
            raise Refusal("service_limit", f"instance {instance.id} takes {services_max} services, and has them (L2)")
        self._room.require(service, others, settings, catalog)
        return ApiService(document, service)

    def _write(self, made: list[ApiService], unserved: list[Unserved]) -> None:
        """To the disk first: what was promised over the API is there after a power loss."""
        content = {"services": [*(one.document for one in made), *(one.document for one in unserved)]}
        write_atomically(self._path, orjson.dumps(content, option=orjson.OPT_INDENT_2))
        self._made, self._unserved = made, unserved
        self.revision += 1


def _document(service: ServiceSettings) -> Document:
    return service.model_dump(mode="json")


def _shown(document: Document, source: str = "api", not_served: str | None = None) -> Document:
    return {**document, "source": source, "not_served": not_served}


def _written(document: Document, shown: Document) -> Document:
    """Without what is only shown. Raises Refusal where that is not as it is shown now."""
    for name in _READ_ONLY:
        if name in document and document[name] != shown[name]:
            raise Refusal("invalid", "the service is not valid", [Fault(name, "is read-only, and was changed")])
    return {name: value for name, value in document.items() if name not in _READ_ONLY}


def _read_alone(document: Document) -> Document:
    """As the others are shown, where it can be read at all."""
    try:
        return _document(ServiceSettings.model_validate({"path": f"/{document.get('id')}", **document}))
    except ValidationError:
        return document


def _placed(unserved: Iterable[Unserved]) -> list[Fault]:
    return [
        Fault(f"services.json: {one.document.get('id')}" + (f": {fault.path}" if fault.path else ""), fault.message)
        for one in unserved
        for fault in one.faults
    ]
