"""Which counters are billed as which meter: application or wire bytes, from an hour on (X16)."""

from collections.abc import Iterable
from typing import Final

from billing.charging import INSTANCE_SECONDS

BASES: Final = ("application", "wire")
_SIDES: Final = ("client", "backend")


def counter_meter(side: str, basis: str) -> str:
    """The name of the counter of billable bytes; only the internet's are (B9)."""
    return f"egress:{side}:internet:{basis}"


# All counters that can be billed, by either basis.
COUNTER_METERS: Final = (
    "calls",
    INSTANCE_SECONDS,
    *(counter_meter(side, basis) for side in _SIDES for basis in BASES),
)


class BasisHistory:
    """Versions (from_hour, basis). An hour is billed by one basis, so a change never bills a byte twice."""

    def __init__(self, versions: Iterable[tuple[int, str]]) -> None:
        self._versions = sorted(versions, reverse=True)
        self._meters = {(counter_meter(side, basis), basis): f"egress_{side}" for side in _SIDES for basis in BASES}

    @property
    def latest(self) -> str | None:
        return self._versions[0][1] if self._versions else None

    def in_force(self, hour: int) -> str | None:
        return next((basis for from_hour, basis in self._versions if from_hour <= hour), None)

    def billed_as(self, meter: str, hour: int) -> str | None:
        """The bill's name of a counter's meter, or None where the hour is billed by the other basis."""
        if not meter.startswith("egress:"):
            return meter
        basis = self.in_force(hour)
        return None if basis is None else self._meters.get((meter, basis))
