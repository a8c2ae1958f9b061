from pathlib import Path
from typing import Any

import pytest

from gateway.snapshot_file import Piece, SnapshotFile, encode
from tests.gateway.data_plane import instance, service

ROUTES = [{"id": "list", "methods": ["GET"], "path": "/items", "limit": None}]


def write(folder: Path, *documents: dict[str, Any]) -> Path:
    path = folder / "shared.7.json"
    path.write_bytes(encode(7, 100, {"one": instance()}, map(Piece.of, documents)))
    return path


def test_what_was_written_is_read_service_by_service(tmp_path: Path) -> None:
    documents = [service("a", 1), service("b", 2, routes=ROUTES), service("c", 3, path="/ü")]
    path = write(tmp_path, *documents)
    file = SnapshotFile(path)
    path.unlink()  # What is mapped stays readable.
    assert (file.version, file.burst_ms, file.instances) == (7, 100, {"one": instance()})
    assert [place.id for place in file.services] == ["a", "b", "c"]
    for place, document in zip(file.services, documents, strict=True):
        routes = file.routes(place) if place.has_routes else []
        assert {**file.head(place), "routes": routes} == document


def test_digests_tell_a_changed_service_and_a_changed_route(tmp_path: Path) -> None:
    digests = {
        Piece.of(document).digest
        for document in (
            service("a", 1),
            service("a", 1),
            service("a", 2),
            service("a", 1, routes=ROUTES),
            service("a", 1, routes=[{**ROUTES[0], "path": "/other"}]),
        )
    }
    assert len(digests) == 4


@pytest.mark.parametrize("cut", [1, 40, 700])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    path = write(tmp_path, service("a", 1), service("b", 2))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ValueError):
        SnapshotFile(path)
