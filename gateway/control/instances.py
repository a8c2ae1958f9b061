"""Dedicated instances that were bought over the API with an entry of their own: they serve beside those of the file.

Kept in data_dir/instances.json from their purchase until they are released or destroyed. One that the file has under
the same id follows the file; one that a changed file no longer allows stays there and is not served.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import orjson

from config.errors import ConfigError, Fault
from config.loading import parse_instance
from config.schema import InstanceSettings, Settings
from gateway.control.durable import write_atomically
from gateway.control.errors import Refusal, StartError
from gateway.control.listeners import Place, require_free

Document = dict[str, Any]


class InstanceBook:
    """Not thread-safe: used on the store's thread only."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "instances.json"
        self._bought: list[InstanceSettings] = []
        self._unserved: list[Document] = []
        self.revision = 0  # grows with every change

    def load(self, settings: Settings) -> list[Fault]:
        """Read the file of bought instances beside these settings. The faults of those that cannot be served."""
        documents = orjson.loads(self._path.read_bytes())["instances"] if self._path.exists() else []
        of_file = {one.id for one in settings.instances}
        self._bought, self._unserved = [], []
        self.revision += 1
        faults: list[Fault] = []
        for document in documents:
            if document["id"] in of_file:
                self._unserved.append(document)
                continue
            try:
                self._bought.append(parse_instance(document, self.joined(settings)))
            except ConfigError as error:
                self._unserved.append(document)
                place = f"instances.json: {document['id']}"
                faults += [Fault(f"{place}: {fault.path}", fault.message) for fault in error.faults]
        return faults

    def joined(self, settings: Settings) -> Settings:
        """The settings with what was bought."""
        if not self._bought:
            return settings
        return settings.model_copy(update={"instances": (*settings.instances, *self._bought)})

    def has(self, id: str) -> bool:
        return any(one.id == id for one in self._bought) or any(one["id"] == id for one in self._unserved)

    def checked(self, document: Document, settings: Settings) -> InstanceSettings:
        """What is about to be bought: `settings` are those of the file with what was bought before.

        Raises Refusal `invalid`, also where something else listens on the address already.
        """
        try:
            instance = parse_instance(document, settings)
            for index, entry in enumerate(instance.entry or ()):
                try:
                    require_free(Place(*entry.bind, 0))
                except StartError as error:
                    raise ConfigError([Fault(f"entry[{index}].bind", str(error))]) from None
        except ConfigError as error:
            raise Refusal("invalid", "the purchase is not valid", error.faults) from None
        return instance

    def add(self, instance: InstanceSettings) -> None:
        self._write([*self._bought, instance], self._unserved)

    def drop(self, ended: Collection[str]) -> None:
        """Those that were released or destroyed are nobody's any more, nor is their address."""
        bought = [one for one in self._bought if one.id not in ended]
        unserved = [one for one in self._unserved if one["id"] not in ended]
        if len(bought) + len(unserved) < len(self._bought) + len(self._unserved):
            self._write(bought, unserved)

    def is_empty(self) -> bool:
        return not self._bought and not self._unserved

    def _write(self, bought: list[InstanceSettings], unserved: list[Document]) -> None:
        """To the disk first: what was paid for is there after a power loss."""
        documents = [one.model_dump(mode="json", exclude_none=True) for one in bought]
        write_atomically(self._path, orjson.dumps({"instances": [*documents, *unserved]}, option=orjson.OPT_INDENT_2))
        self._bought, self._unserved = bought, unserved
        self.revision += 1
