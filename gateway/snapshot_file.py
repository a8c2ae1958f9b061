"""A routing snapshot on the disk: written by the control process, mapped by the workers of a pool.

Line 1 is the header, JSON: {"version", "burst_ms", "instances": {id: document}, "services": [[id, digest, head bytes,
routes bytes], …]}. Then come the services in that order, each its head (the document without routes) and its routes,
JSON both. So a worker reads the header, the heads whose digest it does not have, and the routes that are asked for:
200,000 routes are 17 MB, and 0.2 s to parse.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from gateway.limits.entry import LimitEntry

Document = dict[str, Any]


class Piece(NamedTuple):
    """One service, encoded. ``routes`` is empty where it has none; ``limits`` are those that it has slots of."""

    id: str
    digest: str
    head: bytes
    routes: bytes
    limits: tuple[LimitEntry, ...] = ()

    @classmethod
    def of(cls, document: Document, limits: tuple[LimitEntry, ...] = ()) -> Piece:
        head = orjson.dumps({name: value for name, value in document.items() if name != "routes"})
        routes = orjson.dumps(document["routes"]) if document["routes"] else b""
        digest = blake2b(head + b"\n" + routes, digest_size=16).hexdigest()
        return cls(document["id"], digest, head, routes, limits)

    def document(self) -> Document:
        return {**orjson.loads(self.head), "routes": orjson.loads(self.routes or b"[]")}


def encode(version: int, burst_ms: int, instances: Mapping[str, Document], pieces: Iterable[Piece]) -> bytes:
    """The file's bytes."""
    pieces = list(pieces)
    header = {
        "version": version,
        "burst_ms": burst_ms,
        "instances": instances,
        "services": [(piece.id, piece.digest, len(piece.head), len(piece.routes)) for piece in pieces],
    }
    parts = [orjson.dumps(header), b"\n"]
    for piece in pieces:
        parts += (piece.head, piece.routes)
    return b"".join(parts)


class SnapshotFile:
    """A mapping of the file, which may be unlinked meanwhile. Raises ValueError and OSError where it is none."""

    __slots__ = ("_map", "burst_ms", "instances", "services", "version")

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        end = self._map.find(b"\n")
        header = orjson.loads(self._map[:end])
        self.version: int = header["version"]
        self.burst_ms: int = header["burst_ms"]
        self.instances: dict[str, Document] = header["instances"]
        self.services: list[Place] = []
        at = end + 1
        for id, digest, head_bytes, routes_bytes in header["services"]:
            self.services.append(Place(id, digest, at, at + head_bytes, at + head_bytes + routes_bytes))
            at += head_bytes + routes_bytes
        if at != len(self._map):
            raise ValueError(f"{path}: {len(self._map)} bytes where the header says {at}")

    def head(self, place: Place) -> Document:
        document: Document = orjson.loads(self._map[place.begin : place.middle])
        return document

    def routes(self, place: Place) -> list[Document]:
        routes: list[Document] = orjson.loads(self._map[place.middle : place.end])
        return routes


class Place(NamedTuple):
    """Where in its file a service is: the head from ``begin``, the routes from ``middle``, up to ``end``."""

    id: str
    digest: str
    begin: int
    middle: int
    end: int

    @property
    def has_routes(self) -> bool:
        return self.end > self.middle
