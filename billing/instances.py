"""What runs: shared instances, and dedicated ones paid by the month or by the second (B40-B46, X29-X31)."""

from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import Final

from billing.accounts import KEPT_S, PAST_S
from billing.calendar import HOUR_S, hour_of, hour_start
from billing.wallet import Hold

HOLD_SECONDS: Final = HOUR_S  # one hour of the price is held (X25)


class InstanceState(StrEnum):
    ACTIVE = "active"
    ISOLATED = "isolated"  # no traffic, no fee, kept for seven days (B46)
    RELEASED = "released"  # given up by its owner (B42)
    DESTROYED = "destroyed"


class Charge(StrEnum):
    """How an instance is paid."""

    USAGE = "usage"  # shared: by calls and traffic alone (B1)
    PAYG = "payg"  # by the second (B41)
    PREPAID = "prepaid"  # by the month, in advance (B40)


class InstanceEvent(Enum):
    RELEASE = auto()
    REFUND = auto()
    EXPIRE = auto()
    RENEW = auto()
    DESTROY = auto()


TRANSITIONS: Final = {
    (InstanceState.ACTIVE, InstanceEvent.RELEASE): InstanceState.RELEASED,
    (InstanceState.ACTIVE, InstanceEvent.REFUND): InstanceState.ISOLATED,
    (InstanceState.ACTIVE, InstanceEvent.EXPIRE): InstanceState.ISOLATED,
    (InstanceState.ACTIVE, InstanceEvent.RENEW): InstanceState.ACTIVE,
    (InstanceState.ISOLATED, InstanceEvent.RENEW): InstanceState.ACTIVE,
    (InstanceState.ACTIVE, InstanceEvent.DESTROY): InstanceState.DESTROYED,
    (InstanceState.ISOLATED, InstanceEvent.DESTROY): InstanceState.DESTROYED,
}


@dataclass(slots=True)
class Instance:
    """`price_e8` is per second (payg) or per month (prepaid). `months` is the paid term, counted from `started_at`.

    `clocked_to`: up to which instant the seconds of a payg instance were counted.
    """

    id: str
    account: str
    type: str
    charge: Charge
    spec: str | None
    region: str
    state: InstanceState
    started_at: int
    price_e8: int = 0
    months: int = 0
    renewals: int = 0
    ended_at: int | None = None
    expires_at: int | None = None
    was_refunded: bool = False
    is_declared: bool = False
    clocked_to: int = 0
    hold: Hold = field(default_factory=lambda: Hold(0))

    @property
    def is_active(self) -> bool:
        return self.state is InstanceState.ACTIVE

    @property
    def is_running(self) -> bool:
        """Seconds are counted, and a hold is kept."""
        return self.charge is Charge.PAYG and self.is_active

    def can(self, event: InstanceEvent) -> bool:
        """Whether the table has it; an instance isolated by a refund may not be renewed (P8)."""
        if event is InstanceEvent.RENEW and self.was_refunded:
            return False
        return (self.state, event) in TRANSITIONS

    def after(self, event: InstanceEvent, now: int) -> None:
        self.state = TRANSITIONS[self.state, event]
        if self.is_active:
            self.ended_at = None
        elif self.ended_at is None:
            self.ended_at = now

    def deadline(self) -> tuple[int, InstanceEvent] | None:
        """When its state ends by itself, and how; each a second after the deadline (P9)."""
        if self.is_active and self.expires_at is not None:
            return self.expires_at + PAST_S, InstanceEvent.EXPIRE
        if self.state is InstanceState.ISOLATED:
            assert self.ended_at is not None
            return self.ended_at + KEPT_S + PAST_S, InstanceEvent.DESTROY
        return None


def seconds_by_hour(begin: int, end: int) -> list[tuple[int, int]]:
    """How many seconds of `[begin, end)` fall into each hour. They add up to end − begin (X29)."""
    pieces = []
    while begin < end:
        hour = hour_of(begin)
        stop = min(end, hour_start(hour + 1))
        pieces.append((hour, stop - begin))
        begin = stop
    return pieces
