"""The data_dir: whose it is, and that nobody else reads in it. It holds tokens, counts, balances and keys' digests."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url

from gateway.control.errors import StartError

_log = logging.getLogger(__name__)

_OTHERS: Final = 0o077
# What the node makes in its data_dir. Other files there are somebody's who put them there.
_OWN_FOLDERS: Final = ("counters", "limits", "run", "snapshots")
_OWN_FILES: Final = ("admin.token", "webhook.secret", "clock.json", "instances.json", "services.json", "node.json")
_BESIDE_A_DATABASE: Final = ("", "-wal", "-shm", "-journal")


def open_data_dir(data_dir: Path, store_url: str) -> None:
    """Make it where there is none, and close it to others, with a store in a file. What this process and its children
    make from here on is its owner's alone.

    Raises StartError where another user could put files there, or change those of the node.
    """
    os.umask(_OTHERS)
    _require_own(data_dir, data_dir.lstat() if data_dir.is_symlink() else None)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_own(data_dir, data_dir.stat())
    if (found := data_dir.stat()).st_uid != os.geteuid() and found.st_mode & _OTHERS:
        _log.warning("%s belongs to root, and others have rights to it: they stay (chmod 0700, chown)", data_dir)
    closed = sum(map(_close, [*_own(data_dir), *_database(store_url)]))
    if closed:
        _log.warning("%d files and folders of %s were open to others, and are so no longer", closed, data_dir)


def _require_own(data_dir: Path, found: os.stat_result | None) -> None:
    """Of root's as well: volumes of containers are, and root can do what it wants anyway."""
    if found is not None and found.st_uid not in (os.geteuid(), 0):
        raise StartError(
            f"{data_dir} belongs to user {found.st_uid}, who could change what is in it, and this is user "
            f"{os.geteuid()}: run as that user, or give the data_dir to this one (chown)"
        )


def _own(data_dir: Path) -> Iterator[Path]:
    yield data_dir
    yield from (data_dir / name for name in _OWN_FILES)
    for name in _OWN_FOLDERS:
        for folder, folders, files in os.walk(data_dir / name):  # does not follow links
            yield Path(folder)
            yield from (Path(folder, one) for one in (*folders, *files))


def _database(store_url: str) -> Iterator[Path]:
    parsed = make_url(store_url)
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        yield from (Path(f"{parsed.database}{end}") for end in _BESIDE_A_DATABASE)


def _close(path: Path) -> bool:
    """True: others had rights to it, and have none any more. Links, and what is not ours, stay as they are."""
    try:
        found = path.lstat()
        mode = stat.S_IMODE(found.st_mode)
        if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid() or not mode & _OTHERS:
            return False
        path.chmod(mode & ~_OTHERS)
    except FileNotFoundError:
        return False  # A worker that serves on may have removed it meanwhile.
    return True
