"""The account's clock: arrears, grace, suspension, destruction; and the alert before it (B46-B53, RULES C.6).

The transitions are a table; a missing key means that nothing happens. Deadlines count from the instant the
present state was recorded, so a settler that was away for days destroys nobody when it comes back (X22).
"""

from dataclasses import dataclass
from datetime import date
from enum import Enum, StrEnum, auto
from typing import Final

from billing.calendar import DAY_S, LocalCalendar

GRACE_S: Final = DAY_S  # B48
KEPT_S: Final = 7 * DAY_S  # B50, B51
# A deadline d is passed one second later: what happens up to that instant is served and billed (P9).
PAST_S: Final = 1


class AccountState(StrEnum):
    ACTIVE = "active"  # nothing is owed
    ARREARS = "arrears"  # owes, is still served (B48)
    SUSPENDED = "suspended"  # not served, not billed (B49, X15, X23)
    DESTROYED = "destroyed"  # its configuration is gone for good; debts and bills stay (B51, X24)


class Happening(Enum):
    """What moves an account from state to state."""

    OWES = auto()
    OWES_NOTHING = auto()
    DEADLINE = auto()


TRANSITIONS: Final = {
    (AccountState.ACTIVE, Happening.OWES): AccountState.ARREARS,
    (AccountState.ARREARS, Happening.OWES_NOTHING): AccountState.ACTIVE,
    (AccountState.ARREARS, Happening.DEADLINE): AccountState.SUSPENDED,
    (AccountState.SUSPENDED, Happening.OWES_NOTHING): AccountState.ACTIVE,
    (AccountState.SUSPENDED, Happening.DEADLINE): AccountState.DESTROYED,
    # The customer begins anew, with nothing configured (P13).
    (AccountState.DESTROYED, Happening.OWES_NOTHING): AccountState.ACTIVE,
}
# How long a state lasts until its deadline.
LASTS_S: Final = {AccountState.ARREARS: GRACE_S, AccountState.SUSPENDED: KEPT_S}
# One notification for each transition, by the state entered (B49, P13).
NOTIFICATIONS: Final = {
    AccountState.ACTIVE: "resumed",
    AccountState.ARREARS: "arrears",
    AccountState.SUSPENDED: "suspended",
    AccountState.DESTROYED: "destroyed",
}
REOPENED: Final = "reopened"  # out of destruction
BALANCE_ALERT: Final = "balance_alert"
SERVED: Final = frozenset({AccountState.ACTIVE, AccountState.ARREARS})


@dataclass(frozen=True, slots=True)
class Transition:
    at: int
    before: AccountState
    after: AccountState

    @property
    def notification(self) -> str:
        """The kind of the one that tells of it."""
        return REOPENED if self.before is AccountState.DESTROYED else NOTIFICATIONS[self.after]


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to the account by itself unless somebody pays, and when."""

    kind: str
    at: int


@dataclass(frozen=True, slots=True)
class Notification:
    """With how the account stood at that instant; `threshold_e8` is its own, for alerts (B49, B53)."""

    at: int
    kind: str
    balance_e8: int
    threshold_e8: int | None
    next: Step | None


@dataclass(slots=True)
class Account:
    """Who pays. `alert_e8` None means that no threshold is set; `alerted_on` is the last local day of an alert.

    `grants_given` of the twelve grants were given, counted from `grants_anchor_at`, or from the activation when None;
    `grants_series` counts how often an operator gave the free quota anew (B20).
    """

    id: str
    entity: str
    currency: str
    activated_at: int
    state: AccountState
    state_at: int
    has_free_quota: bool
    alert_e8: int | None = None
    alerted_on: date | None = None
    first_event_at: int | None = None
    grants_given: int = 0
    grants_anchor_at: int | None = None
    grants_series: int = 0
    is_refund_vetoed: bool = False

    @property
    def grants_since(self) -> int:
        """The instant from which the free periods count (B18, B20)."""
        return self.activated_at if self.grants_anchor_at is None else self.grants_anchor_at

    @property
    def is_served(self) -> bool:
        return self.state in SERVED

    def after(self, happening: Happening, now: int) -> Transition | None:
        """Take the transition that the table has for it, if any."""
        state = TRANSITIONS.get((self.state, happening))
        if state is None:
            return None
        transition = Transition(now, self.state, state)
        self.state, self.state_at = state, now
        return transition

    def next_step(self) -> Step | None:
        deadline, after = self.deadline(), TRANSITIONS.get((self.state, Happening.DEADLINE))
        return None if deadline is None or after is None else Step(NOTIFICATIONS[after], deadline)

    def deadline(self) -> int | None:
        """When the present state ends by itself, or None."""
        lasts_s = LASTS_S.get(self.state)
        return None if lasts_s is None else self.state_at + lasts_s + PAST_S

    def owes_alert(self, available_e8: int, now: int, calendar: LocalCalendar) -> bool:
        """True at most once a local day, every day while low, from the first event on (B53, P12)."""
        return self._is_low(available_e8) and self.alerted_on != calendar.day_of(now)

    def next_alert_at(self, available_e8: int, now: int, calendar: LocalCalendar) -> int | None:
        return calendar.next_midnight(now) if self._is_low(available_e8) else None

    def _is_low(self, available_e8: int) -> bool:
        return (
            self.alert_e8 is not None
            and available_e8 < self.alert_e8
            and self.is_served
            and self.first_event_at is not None
        )
