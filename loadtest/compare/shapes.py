"""How many users there are over time. Pure, so that a plan can be drawn as well as run."""

from __future__ import annotations

from typing import Final

SHAPES: Final = ("flat", "step", "spike")
STEPS: Final = 4
# A spike stands in the middle third; around it is a fifth of it.
SPIKE_FROM, SPIKE_TO, SPIKE_BASE = 1 / 3, 2 / 3, 0.2


def users_at(shape: str, peak: int, passed_s: float, seconds: float) -> int | None:
    """Users ``passed_s`` after the start; None when it is over. Before the start those of the start."""
    share = max(0.0, passed_s) / seconds
    if share >= 1:
        return None
    if shape == "step":
        return max(1, round(peak * (int(share * STEPS) + 1) / STEPS))
    if shape == "spike" and not SPIKE_FROM <= share < SPIKE_TO:
        return max(1, round(peak * SPIKE_BASE))
    return peak
