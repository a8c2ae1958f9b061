"""The configuration file, read again while the node runs: one that is not good changes nothing."""

from __future__ import annotations

import logging
from pathlib import Path

from config.catalog import Catalog
from config.errors import ConfigError
from config.loading import load_settings
from config.prices import PriceBook
from config.schema import Settings
from gateway.control.fixed import changed_files, require_catalog, under

_log = logging.getLogger(__name__)


def read_again(
    config: Path, running: Settings, catalog: Catalog, price_book: PriceBook
) -> tuple[Settings, list[str]] | None:
    """What to go by, and the settings that wait for the next start. None: the reasons are logged, each on its line."""
    try:
        settings, waiting = under(running, load_settings(config))
        waiting += changed_files(running, catalog, price_book)
        require_catalog(settings, catalog)
    except ConfigError as error:
        _log.error("%s is not taken up:", config)
        for fault in error.faults:
            _log.error("%s", fault)
    except Exception as error:
        # No descriptor to read it by, a nesting without end: the node goes on by what it has.
        _log.error("%s is not taken up: %s: %s", config, type(error).__name__, error)
    else:
        return settings, sorted({*waiting})
    return None
