"""What is offered to both instances, run by run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from loadtest.compare.shapes import users_at

SHARED, DEDICATED = "shared", "dedicated"
LIMITS: Final = {SHARED: 500, DEDICATED: 2500}  # requests a second: what the catalog gives each (L1, L3)
# One Locust process offers about this much on one CPU; beyond it another is started.
PROCESS_RATE_MAX: Final = 2000
USER_RATE: Final = 10.0  # requests a second of one user


@dataclass(frozen=True)
class Offer:
    """What one instance is offered: ``rate`` requests a second at the peak of the shape."""

    instance: str
    shape: str
    rate: float
    user_rate: float = USER_RATE

    @property
    def users(self) -> int:
        return max(1, round(self.rate / self.user_rate))

    @property
    def processes(self) -> int:
        return 1 + int(self.rate > PROCESS_RATE_MAX)

    def planned(self, passed_s: float, seconds: float) -> float:
        """Requests a second that should be offered then."""
        users = users_at(self.shape, self.users, passed_s, seconds)
        return (users or 0) * self.user_rate


@dataclass(frozen=True)
class Run:
    """Both instances at the same time."""

    name: str
    title: str
    seconds: float
    mix: str
    offers: tuple[Offer, ...]


PLAN: Final = (
    Run(
        "steps",
        "In four steps past the limit",
        16,
        "json",
        (Offer(SHARED, "step", 800), Offer(DEDICATED, "step", 3600)),
    ),
    Run(
        "spike",
        "A spike of twice the limit",
        15,
        "json",
        (Offer(SHARED, "spike", 1000), Offer(DEDICATED, "spike", 4000)),
    ),
    Run(
        "mix",
        "JSON, 16 MiB uploads, 10 MiB downloads, WebSockets",
        12,
        "mixed",
        (Offer(SHARED, "flat", 40, 4.0), Offer(DEDICATED, "flat", 40, 4.0)),
    ),
    Run(
        "neighbour",
        "A flood on shared, while dedicated is measured",
        18,
        "json",
        (Offer(SHARED, "spike", 2000), Offer(DEDICATED, "flat", 400)),
    ),
)
NAMES: Final = tuple(run.name for run in PLAN)


def plan(names: Sequence[str] = NAMES, seconds: float | None = None, share: float = 1.0) -> list[Run]:
    """The runs with these names, each ``seconds`` long, at ``share`` of the rates (for small machines and tests)."""
    return [
        replace(
            run,
            seconds=seconds or run.seconds,
            offers=tuple(replace(offer, rate=max(offer.user_rate, offer.rate * share)) for offer in run.offers),
        )
        for run in PLAN
        if run.name in names
    ]
