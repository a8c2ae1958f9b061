"""Settings that a running node does not follow: they are as they were at its start."""

from __future__ import annotations

from config.schema import Settings


def fixed_changes(before: Settings, after: Settings) -> list[str]:
    """What a running node cannot change."""
    pairs = {
        "node": (before.node, after.node),
        "admin": (before.admin, after.admin),
        "store": (before.store, after.store),
        "billing": (before.billing, after.billing),
        "clock": (before.clock, after.clock),
    }
    return [name for name, (old, new) in pairs.items() if old != new]
