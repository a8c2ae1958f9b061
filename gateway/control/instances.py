"""Dedicated instances that were bought over the API with an entry of their own: they serve beside those of the file.

Kept in data_dir/instances.json from their purchase until they are released or destroyed. One that the file has under
the same id follows the file. A file that leaves no place for one that serves is not taken up while the node runs; what
the file of a start leaves no place for stays here, and is not served.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from config.errors import ConfigError, Fault
from config.loading import parse_instance
from config.schema import InstanceSettings, Settings
from gateway.control.durable import write_atomically
from gateway.control.errors import Refusal, StartError
from gateway.control.listeners import Place, require_free

Document = dict[str, Any]


class Reading(NamedTuple):
    """The bought instances as they are beside a file."""

    bought: list[InstanceSettings]
    kept: list[Document]  # not served from here: the file has them, or leaves no place
    faults: dict[str, list[Fault]]  # of those that it leaves no place, by id

    def joined(self, settings: Settings) -> Settings:
        """The settings with what was bought."""
        if not self.bought:
            return settings
        return settings.model_copy(update={"instances": (*settings.instances, *self.bought)})


class InstanceBook:
    """Not thread-safe: used on the store's thread only."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "instances.json"
        self._bought: list[InstanceSettings] = []
        self._unserved: list[Document] = []
        self._faults: dict[str, list[Fault]] = {}
        self.revision = 0  # grows with every change

    def read(self, settings: Settings) -> Reading:
        """The file of bought instances beside these settings. Changes nothing."""
        documents = orjson.loads(self._path.read_bytes())["instances"] if self._path.exists() else []
        of_file = {one.id for one in settings.instances}
        reading = Reading([], [], {})
        for document in documents:
            if document["id"] in of_file:
                reading.kept.append(document)
                continue
            try:
                reading.bought.append(parse_instance(document, reading.joined(settings)))
            except ConfigError as error:
                reading.kept.append(document)
                reading.faults[document["id"]] = list(error.faults)
        return reading

    def lost(self, reading: Reading) -> list[Fault]:
        """Why instances that serve would do so no more."""
        serving = {one.id for one in self._bought}
        return _placed({id: faults for id, faults in reading.faults.items() if id in serving})

    def follow(self, reading: Reading) -> list[Fault]:
        """Go by it from here on. The faults of those that are not served."""
        self._bought, self._unserved, self._faults = reading
        self.revision += 1
        return _placed(self._faults)

    @property
    def not_served(self) -> dict[str, str]:
        """By instance that the settings leave no place: why."""
        return {id: "; ".join(map(str, faults)) for id, faults in self._faults.items()}

    def joined(self, settings: Settings) -> Settings:
        """The settings with what was bought."""
        return Reading(self._bought, [], {}).joined(settings)

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
            self._faults = {id: faults for id, faults in self._faults.items() if id not in ended}

    def is_empty(self) -> bool:
        return not self._bought and not self._unserved

    def _write(self, bought: list[InstanceSettings], unserved: list[Document]) -> None:
        """To the disk first: what was paid for is there after a power loss."""
        documents = [one.model_dump(mode="json", exclude_none=True) for one in bought]
        write_atomically(self._path, orjson.dumps({"instances": [*documents, *unserved]}, option=orjson.OPT_INDENT_2))
        self._bought, self._unserved = bought, unserved
        self.revision += 1


def _placed(faults: Mapping[str, Sequence[Fault]]) -> list[Fault]:
    return [Fault(f"instances.json: {id}: {one.path}", one.message) for id, found in faults.items() for one in found]
