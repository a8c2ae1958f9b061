"""Which data_dir this is: an id that it keeps, so that the store knows its node again after any death."""

from __future__ import annotations

import secrets
from pathlib import Path

import orjson

from gateway.control.durable import write_atomically

_ID_BYTES = 16


def data_id(data_dir: Path) -> str:
    """The id; made at the first start, and anew in a copy of the data_dir: the two are not one node.

    A copy is told by the file's inode, which is in the file. The caller holds the data_dir's lock.
    """
    path = data_dir / "node.json"
    if (known := _read(path)) is not None:
        return known
    made = secrets.token_hex(_ID_BYTES)
    # The inode is known once the file is there. A death in between leaves an id that is of no inode: made anew then.
    write_atomically(path, b"{}")
    with path.open("r+b") as file:
        file.write(orjson.dumps({"id": made, "inode": path.stat().st_ino}))
    return made


def _read(path: Path) -> str | None:
    try:
        document = orjson.loads(path.read_bytes())
        return str(document["id"]) if document["inode"] == path.stat().st_ino else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
