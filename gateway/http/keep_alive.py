"""What a server says of how long a connection may rest: `Keep-Alive: timeout=5, max=100` (RFC 2068 19.7.1.1)."""

from __future__ import annotations

from math import inf
from typing import Final

KNOWN_MAX: Final = 256  # `max` counts down, so a server has some hundred values; more are read anew.
NUMBER_MAX: Final = 1 << 31


class KeepAlive:
    """``timeout_s``: it closes a connection at rest after so long; ``requests_max``: it takes so many more at most."""

    __slots__ = ("requests_max", "timeout_s")

    def __init__(self, timeout_s: float, requests_max: int) -> None:
        self.timeout_s = timeout_s
        self.requests_max = requests_max


_known: dict[bytes, KeepAlive] = {}


def keep_alive(value: bytes) -> KeepAlive:
    """By a field's value. What is not understood says nothing."""
    known = _known.get(value)
    if known is None:
        if len(_known) >= KNOWN_MAX:
            _known.clear()
        known = _known[value] = _read(value)
    return known


def _read(value: bytes) -> KeepAlive:
    timeout_s, requests_max = inf, NUMBER_MAX
    for member in value.lower().split(b","):
        name, _, text = member.partition(b"=")
        name, text = name.strip(), text.strip(b' \t"')
        if not text.isdigit() or len(text) > 10:
            continue
        number = min(int(text), NUMBER_MAX)
        if name == b"timeout":
            timeout_s = min(timeout_s, float(number))
        elif name == b"max":
            requests_max = min(requests_max, number)
    return KeepAlive(timeout_s, requests_max)
