"""Sizes and durations as people write them (DESIGN 1.2)."""

import re
from typing import Final

from config.errors import shown

_SIZE = re.compile(r"([0-9]{1,15})\s*(B|[KMG]i?B)")
# 1024-based throughout, as the guide counts (B10): 1 GB = 1024 MB.
_SIZE_UNITS: Final = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*(ms|s|m|h|d)")
_DURATION_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_size(text: object) -> int:
    """`"16MiB"` to bytes. Raises ValueError."""
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{shown(text)} is no size: a whole number and B, KiB, MiB or GiB")
    return int(match[1]) * _SIZE_UNITS[match[2][0]]


def parse_duration(text: object) -> float:
    """`"1.5s"` to seconds. Raises ValueError."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{shown(text)} is no duration: a number and ms, s, m, h or d")
    return float(match[1]) * _DURATION_UNITS[match[2]]


def format_duration(seconds: float) -> str:
    """1.5 to `"1.5s"`, to the microsecond."""
    return f"{f'{seconds:.6f}'.rstrip('0').rstrip('.')}s"
