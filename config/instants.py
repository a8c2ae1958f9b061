"""The one door between text and time: RFC 3339 and nothing else, from 2000 to 2199.

What a store keeps has to be shown again, added to, and put into local months: other years are mistakes, or tries.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

YEAR_MIN: Final = 2000
YEAR_MAX: Final = 2199
INSTANT_MIN: Final = 946_684_800  # 2000-01-01T00:00:00Z
INSTANT_END: Final = 7_258_118_400  # 2200-01-01T00:00:00Z, the first that is too late
# date-time (RFC 3339 5.6). Its note lets a space stand for the T. Of a fraction, any number of digits.
_DATE_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-5][0-9])"
)
_MONTH: Final = re.compile(r"([0-9]{4})-(?:0[1-9]|1[0-2])")
_EXAMPLE: Final = "2026-01-15T09:00:00+08:00"
_RANGE: Final = f"has to be in the years {YEAR_MIN} to {YEAR_MAX}"


def parse_instant(value: object) -> int:
    """Epoch seconds; a fraction is cut off (X29). Of a text, or of what YAML made of one. Raises ValueError."""
    if isinstance(value, str):
        if not _DATE_TIME.fullmatch(value):
            raise ValueError(f"has to be a time with its offset, as {_EXAMPLE} (RFC 3339)")
        try:
            value = datetime.fromisoformat(value.upper())
        except ValueError:
            raise ValueError("is no time that there is") from None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"has to be a time with its offset, as {_EXAMPLE} (RFC 3339)")
    # By subtraction: the calendar's first and last days have no UTC for every offset.
    instant = int((value.replace(tzinfo=UTC) - _EPOCH).total_seconds() // 1) - int(_offset_s(value))
    if not INSTANT_MIN <= instant < INSTANT_END:
        raise ValueError(_RANGE)
    return instant


def parse_month(value: object) -> str:
    """A local month, `2026-01`. Raises ValueError."""
    match = _MONTH.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("not a month like 2026-01")
    if not YEAR_MIN <= int(match[1]) <= YEAR_MAX:
        raise ValueError(_RANGE)
    return str(value)


def instant_text(instant: int) -> str:
    """`2026-01-15T09:00:00Z`. What an older version let into a store beyond the calendar is shown as its last second,
    or its first: one row does not keep the others from being shown."""
    shown = datetime.fromtimestamp(min(max(instant, _FIRST), _LAST), UTC)
    return f"{shown.replace(tzinfo=None).isoformat(timespec='seconds')}Z"


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = -62_135_596_800  # 0001-01-01T00:00:00Z
_LAST: Final = 253_402_300_799  # 9999-12-31T23:59:59Z


def _offset_s(value: datetime) -> float:
    offset = value.utcoffset()
    return offset.total_seconds() if offset else 0.0
