"""One account's standing while something happens to it: read from the store, moved on by the rules, written back.

Pure: no SQL, no clock, no logging. What is new since it was read (`moves` of the wallet, transitions,
notifications, orders, settlements, counted seconds) is kept apart, for the store to append.
"""

from dataclasses import dataclass, field

from billing.accounts import BALANCE_ALERT, Account, AccountState, Happening, Notification, Transition
from billing.calendar import LocalCalendar, hour_start
from billing.charging import Line, Positions
from billing.grants import grant_periods
from billing.instances import Instance, InstanceEvent, seconds_by_hour
from billing.packs import Pack
from billing.vouchers import Voucher, choose
from billing.wallet import Hold, Payment, Wallet


@dataclass(frozen=True, slots=True)
class Order:
    """A purchase, a renewal, or (with negative amounts) a refund."""

    at: int
    kind: str
    ref: str
    list_e8: int
    payment: Payment


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one hour of one account came to, at one revision (B2). `corrects_month`: a bill closed before (P11)."""

    hour: int
    rev: int
    at: int
    bill_month: str
    corrects_month: str | None
    is_late: bool
    amount_e8: int
    payment: Payment
    lines: tuple[Line, ...]
    reason: str | None = None  # of an adjustment


@dataclass(slots=True)
class News:
    """What happened since the book was read; only ever appended to the store."""

    transitions: list[Transition] = field(default_factory=list)
    notifications: list[Notification] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    seconds: list[tuple[Instance, int, int]] = field(default_factory=list)  # instance, hour, seconds
    packs: list[Pack] = field(default_factory=list)
    vouchers: list[Voucher] = field(default_factory=list)


@dataclass(slots=True)
class Book:
    """All that the rules need to know of one account. `acts` numbers its money acts other than settlements."""

    account: Account
    wallet: Wallet
    vouchers: list[Voucher]
    packs: list[Pack]
    instances: dict[str, Instance]
    calendar: LocalCalendar
    positions: Positions = field(default_factory=Positions)
    acts: int = 0
    news: News = field(default_factory=News)

    def next_journal(self, kind: str) -> str:
        """A name for the next money act, never used before in this account."""
        self.acts += 1
        return f"{kind}:{self.account.id}:{self.acts}"

    def holds(self) -> list[Hold]:
        """Of the running instances, the longest running first."""
        running = [instance for instance in self.instances.values() if instance.is_running]
        return [instance.hold for instance in sorted(running, key=lambda i: (i.started_at, i.id))]

    def voucher_for(self, amount_e8: int, valid_at: int) -> tuple[Voucher | None, int]:
        """The voucher to use for a bill or an order, and its part. None while anything is owed (X26, P5)."""
        if self.account.state is not AccountState.ACTIVE:
            return None, 0
        voucher = choose(self.vouchers, amount_e8, valid_at)
        return voucher, min(voucher.left_e8, amount_e8) if voucher else 0

    def examine(self, now: int) -> None:
        """After every event and settlement, and at local midnight: arrears, return from them, alert (B47, B53)."""
        happening = Happening.OWES if self.wallet.total_e8 < 0 else Happening.OWES_NOTHING
        self.transit(happening, now)
        if self.account.owes_alert(self.wallet.available_e8, now, self.calendar):
            self.account.alerted_on = self.calendar.day_of(now)
            self._tell(BALANCE_ALERT, now)

    def note_event(self, now: int) -> None:
        """The first one starts the balance alerts (P12)."""
        if self.account.first_event_at is None:
            self.account.first_event_at = now

    def transit(self, happening: Happening, now: int) -> None:
        """Take a transition if the table has one. No seconds are counted while suspended (X15, X23)."""
        was_served = self.account.is_served
        transition = self.account.after(happening, now)
        if transition is None:
            return
        if was_served and not self.account.is_served:
            self._count_seconds(now)
        if not was_served and self.account.is_served:
            for instance in self.instances.values():
                instance.clocked_to = now
        self.news.transitions.append(transition)
        self._tell(transition.notification, now)

    def _tell(self, kind: str, now: int) -> None:
        one = self.account
        self.news.notifications.append(Notification(now, kind, self.wallet.total_e8, one.alert_e8, one.next_step()))

    def clock_to(self, instant: int) -> None:
        """Count the seconds of running instances up to an instant, by hour (B41, X29)."""
        if self.account.is_served:
            self._count_seconds(instant)

    def _count_seconds(self, instant: int) -> None:
        for instance in self.instances.values():
            if instance.is_running and instance.clocked_to < instant:
                pieces = seconds_by_hour(instance.clocked_to, instant)
                self.news.seconds += [(instance, hour, seconds) for hour, seconds in pieces]
                instance.clocked_to = instant

    def pass_deadlines(self, now: int) -> None:
        """Those of the account and its instances that are due; one transition of the account at most (X22)."""
        deadline = self.account.deadline()
        if deadline is not None and deadline <= now:
            self.transit(Happening.DEADLINE, now)
            if self.account.state is AccountState.DESTROYED:
                self._destroy_instances(now)
        for instance in self.instances.values():
            due = instance.deadline()
            if due is not None and due[0] <= now:
                instance.after(due[1], now)
        self.examine(now)

    def _destroy_instances(self, now: int) -> None:
        """With the account go its instances; the ledger, bills and debts stay (X24). What the gateway has configured
        for it goes by `Billing.destructions`."""
        journal = self.next_journal("destroy")
        for instance in self.instances.values():
            if instance.can(InstanceEvent.DESTROY):
                self.wallet.release(f"{journal}:{instance.id}", instance.hold)
                instance.after(InstanceEvent.DESTROY, now)

    def due_at(self, now: int) -> int | None:
        """The next instant at which something happens without anyone doing it; always after `now`."""
        candidates = [self.account.deadline(), self._next_grant_at()]
        candidates.append(self.account.next_alert_at(self.wallet.available_e8, now, self.calendar))
        for instance in self.instances.values():
            due = instance.deadline()
            candidates.append(due[0] if due else None)
        return min((instant for instant in candidates if instant is not None), default=None)

    def _next_grant_at(self) -> int | None:
        if not self.account.has_free_quota:
            return None
        for period in grant_periods(self.account.grants_since, self.calendar):
            if period.number > self.account.grants_given:
                return hour_start(period.from_hour)
        return None
