"""Errors of the control process. Each says whose fault it was: the caller's, or the machine's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.errors import Fault


class ControlError(Exception):
    """The root; its text is for a person."""


class DataDirBusy(ControlError):
    """Another control process lives on this data_dir."""


class StoreBusy(ControlError):
    """Another node is alive on the store."""


class StartError(ControlError):
    """The node cannot start, or take up a new configuration: an address in use, no right to bind, no worker."""


class Refusal(ControlError):
    """The caller asked for what the rules do not allow. ``code`` is stable (DESIGN 1.4, 1.6); nothing changed."""

    def __init__(self, code: str, detail: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.faults = tuple(faults)
