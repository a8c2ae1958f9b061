"""TLS towards upstreams: contexts made once for each kind of settings and shared by all targets that have it.

A default context loads the system's authorities: some 10 ms and half a megabyte, so one for each target would not do.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any

log = logging.getLogger("tollgate.tls")

_Key = tuple[object, ...]
_FILES = ("ca", "certificate", "key")


class TlsContexts:
    """Contexts by their settings and the state of the files they name: a changed file makes a new context."""

    def __init__(self) -> None:
        self._contexts: dict[_Key, ssl.SSLContext] = {}
        self._used: set[_Key] = set()

    def context(self, settings: dict[str, Any]) -> ssl.SSLContext:
        """Settings as in the snapshot. Files that cannot be used give a context that trusts nobody: a 502 for each
        connection, and a line in the log, in place of a snapshot that nobody applies."""
        key: _Key = (settings["verify"], *(_state(settings[name]) for name in _FILES))
        self._used.add(key)
        context = self._contexts.get(key)
        if context is None:
            try:
                context = _context(settings)
            except (OSError, ValueError) as error:
                log.error("TLS settings of an upstream cannot be used, it will not be connected to: %s", error)
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # Verifies, and has no authority to verify by.
            self._contexts[key] = context
        return context

    def drop_unused(self) -> None:
        """Forgets what was not asked for since the last time."""
        self._contexts = {key: context for key, context in self._contexts.items() if key in self._used}
        self._used = set()


def _context(settings: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if not settings["verify"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings["ca"]:
        context.load_verify_locations(settings["ca"])
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if settings["certificate"]:
        # An encrypted key would ask at the terminal; a worker has none.
        context.load_cert_chain(settings["certificate"], settings["key"], password="")
    return context


def _state(path: str | None) -> object:
    if path is None:
        return None
    try:
        status = Path(path).stat()
    except OSError:
        return (path, None)
    return (path, status.st_mtime_ns, status.st_size, status.st_ino)
