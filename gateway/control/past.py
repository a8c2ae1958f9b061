"""A clock that lies before what is billed: what is counted by it would go into hours that are settled.

As from `clock: {rate: 60}` back to the machine's time, or in a machine whose clock was ahead. Such calls are billed as
late usage; whether that is wanted is not for a node to guess.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from gateway.control.errors import StartError
from metering.clock import hour_start

# A clock that is corrected by this much is no other time: as workers judge it (metering/meter.py).
_CORRECTION_S_MAX: Final = 300.0


def require_not_past(now_s: float, settled_through: int | None) -> None:
    """Raises StartError. ``settled_through``: the last hour that was settled."""
    if settled_through is None or now_s + _CORRECTION_S_MAX >= (ends_s := hour_start(settled_through + 1)):
        return
    raise StartError(
        f"the node's clock says {_text(now_s)}, and the store is billed up to {_text(ends_s)}: what is counted now "
        "would go into hours that are settled. Set clock.rate and clock.offset to what they were, correct the "
        "machine's clock, or start with --allow-past: then it is billed as late usage"
    )


def _text(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
