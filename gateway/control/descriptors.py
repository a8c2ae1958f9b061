"""How many files and sockets this process may have open."""

from __future__ import annotations

import logging
import resource

_log = logging.getLogger(__name__)


def open_what_may_be() -> int:
    """Raises the soft limit, which is for programs that call select(2), to the hard one. What it is from here on."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError) as error:
        _log.warning("the limit of open files stays at %d: %s", now, error)
        return now
    return most
