"""What the HTTP server says of connections: what is no HTTP is counted, and not written with a traceback each time.

Anybody who can connect can send such things, as often as it likes: half a kilobyte of log for each would fill the disk.
"""

from __future__ import annotations

import logging
from typing import Any

from aiohttp.http_exceptions import HttpProcessingError

from gateway.admin.client import client_of
from gateway.admin.watch import Watch

_log = logging.getLogger("aiohttp.server")


class HttpLog(logging.LoggerAdapter[logging.Logger]):
    """In the place of the server's own logger."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(_log)
        self._watch = watch

    def log(self, level: int, msg: object, *args: object, exc_info: Any = None, **more: Any) -> None:
        if isinstance(exc_info, HttpProcessingError) and exc_info.code < 500:
            remote = args[0] if args and isinstance(args[0], str) else None
            self._watch.refused("malformed", client_of(remote))
            return
        super().log(level, msg, *args, exc_info=exc_info, **more)
