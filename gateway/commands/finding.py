"""Finds the desk for a command: `--admin`, `$TOLLGATE_ADMIN`, the node or the store of `-c FILE`, the default."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.admin.token import VARIABLE, read_token
from gateway.commands.desk import Desk
from gateway.control.lock import is_held

if TYPE_CHECKING:
    from config.schema import Settings

ADMIN_VARIABLE: Final = "TOLLGATE_ADMIN"
DEFAULT_ADMIN: Final = "http://127.0.0.1:8081"

OpenStore = Callable[["Settings"], AbstractContextManager[Desk]]


class Finder:
    """``open_store`` opens the store of a configuration that no node runs on."""

    def __init__(self, open_store: OpenStore) -> None:
        self._open_store = open_store

    @contextmanager
    def desk(self, admin: str | None, config: Path | None) -> Iterator[Desk]:
        """Raises ConfigError, NodeUnreachable, and what the store raises."""
        settings = None if config is None else _settings_of(config)
        data_dir = None if settings is None else Path(settings.node.data_dir)
        token = os.environ.get(VARIABLE) if data_dir is None else read_token(data_dir)
        url = admin or os.environ.get(ADMIN_VARIABLE)
        if url is None and settings is not None and data_dir is not None:
            # The lock, and not an answer on the port, tells whether the node of this data_dir runs.
            if not is_held(data_dir):
                with self._open_store(settings) as desk:
                    yield desk
                return
            url = _url(settings)
        from gateway.commands.remote import RemoteDesk

        yield RemoteDesk(url or DEFAULT_ADMIN, token)


def _settings_of(config: Path) -> Settings:
    # Here, as half a second of CPU goes into what a file may say, and a node that runs is asked without it.
    from config.loading import load_settings

    return load_settings(config)


def _url(settings: Settings) -> str:
    host, port = settings.admin.bind.host, settings.admin.bind.port
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  (read, not bound)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
