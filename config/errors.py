"""What is wrong with a file, and where."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_SHOWN_MAX: Final = 80


def shown(value: object) -> str:
    """A value as a message may carry it: short, on one line, without control characters."""
    if isinstance(value, Unclear):
        return value.text[:_SHOWN_MAX]
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str | int | float):
        text = repr(value)
        return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"
    return "a list" if isinstance(value, list | tuple) else "a mapping" if isinstance(value, dict) else "this"


@dataclass(frozen=True, slots=True)
class Unclear:
    """A scalar that readers of YAML take for different values: it is none of any type, and ``hint`` says why."""

    text: str
    hint: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake. ``path`` as in `services[3].upstream.targets[0].url`; empty for the whole file."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(Exception):
    """All mistakes of a file at once."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = list(faults)
