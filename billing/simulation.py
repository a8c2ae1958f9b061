"""`tollgate simulate`: the same billing, on a store in memory and a virtual clock (DESIGN 1.4).

The clock jumps from instant to instant at which something happens. At each: the events in file order, then the
settlement of the hour that ended, then the deadlines (P9).
"""

from collections import defaultdict, deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from billing import scenario_parts as given
from billing.basis import counter_meter
from billing.calendar import hour_of, hour_start, next_full_hour
from billing.errors import LedgerFault, Refused
from billing.packs import Source
from billing.rating import Tier
from billing.scenario import Scenario
from billing.scenario_parts import ScenarioAccount
from billing.service import Billing
from billing.tables import create_all
from billing.upsert import insert_or_replace
from config.errors import ConfigError, Fault
from metering.database import open_engine, transaction
from metering.tables import counter, dirty

WRITER = "simulation"
BASIS = "application"
_METERS = {
    "calls": "calls",
    "out_client": counter_meter("client", BASIS),
    "out_backend": counter_meter("backend", BASIS),
}


def _nobody(now: int) -> None:
    """Nobody wants to know how far it is."""


def run(scenario: Scenario, engine: Engine | None = None, progress: Callable[[int], None] = _nobody) -> dict[str, Any]:
    """The output document. `engine`: an empty store to use in place of one in memory. `progress` is told each instant.

    Raises ConfigError where an event takes an id that is in use, or amounts leave the ledger's 64 bits: both show
    only while running.
    """
    own = engine or open_engine("sqlite://")
    try:
        with transaction(own) as connection:
            create_all(connection)
        return _Run(scenario, own, progress).to_the_end()
    except (LedgerFault, OverflowError, DBAPIError) as error:
        # The store is in memory and ours alone: only a number that is too large makes it fail.
        message = f"an amount or a sum of them leaves the ledger's 64 bits{_told(error)}"
        raise ConfigError([Fault("events", message)]) from error
    finally:
        if engine is None:
            own.dispose()


def _told(error: Exception) -> str:
    return f": {error}" if isinstance(error, LedgerFault) else ""


def _last_alike(quiet_until: int, others: int | None, until: int) -> int:
    """The last full hour of those that can be settled together: before anything else happens (P9), and in time."""
    ends = [quiet_until, hour_start(hour_of(until))]
    if others is not None:
        ends.append(hour_start(hour_of(others - 1)))
    return min(ends)


class _Run:
    def __init__(self, scenario: Scenario, engine: Engine, progress: Callable[[int], None]) -> None:
        self._scenario = scenario
        self._progress = progress
        self._billing = Billing(
            engine, scenario.price_book, scenario.catalog, scenario.timezone, egress_basis=BASIS, is_migrated=True
        )
        self._engine = engine
        self._refused: list[dict[str, Any]] = []
        self._ticks: list[int] = []  # full hours at which to settle, as a heap
        self._account_of = {instance.id: instance.account for instance in scenario.instances}
        self._region_of = {instance.id: instance.region for instance in scenario.instances}
        # Usage by the full hour at which it is settled, and totals as a writer keeps them.
        self._arrivals: defaultdict[int, list[tuple[str, str, int, int]]] = defaultdict(list)
        self._totals: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self._opened: set[str] = set()
        self._is_stale = True
        self._with_alert = {account.id for account in scenario.accounts if account.alert_below is not None}

    def to_the_end(self) -> dict[str, Any]:
        scenario, until = self._scenario, self._scenario.until
        openings = deque(sorted(scenario.accounts, key=lambda account: account.activated_at))
        events = deque(enumerate(scenario.events))
        wake_at: int | None = None
        quiet_until: int | None = None
        due_at: int | None = None
        while True:
            # What the store knows it will do; taken anew only when something was written to it.
            if self._is_stale:
                wake_at = self._billing.next_instant()
                quiet_until, due_at = self._billing.quiet_until()
            self._is_stale = False
            now = self._next_instant(wake_at, openings, events)
            if now is None or now > until:
                break
            if now == wake_at and quiet_until is not None:
                others = self._next_instant(due_at, openings, events)
                now = wake_at = max(now, _last_alike(quiet_until, others, until))
            self._progress(now)
            while openings and openings[0].activated_at <= now:
                self._open(openings.popleft())
            while events and events[0][1].at <= now:
                self._take(*events.popleft(), now)
            if now == wake_at or (self._ticks and self._ticks[0] == now):
                self._settle(now)
        return {
            "accounts": {account.id: self._document(account, until) for account in scenario.accounts},
            "refused": self._refused,
        }

    def _next_instant(
        self, wake_at: int | None, openings: deque[ScenarioAccount], events: deque[tuple[int, given.Event]]
    ) -> int | None:
        candidates = [wake_at]
        candidates.append(openings[0].activated_at if openings else None)
        candidates.append(events[0][1].at if events else None)
        candidates.append(self._ticks[0] if self._ticks else None)
        return min((instant for instant in candidates if instant is not None), default=None)

    def _open(self, account: ScenarioAccount) -> None:
        self._is_stale = True
        self._opened.add(account.id)
        self._open_empty(account)
        for instance in self._scenario.instances:
            if instance.account == account.id:
                self._billing.open_shared_instance(account.id, instance.id, instance.region, account.activated_at)

    def _open_empty(self, account: ScenarioAccount) -> None:
        self._billing.open_account(
            account.id,
            account.activated_at,
            entity=account.entity,
            currency=account.currency,
            has_free_quota=account.free_quota,
            alert_below_e8=account.alert_below,
        )

    def _settle(self, now: int) -> None:
        self._is_stale = True
        while self._ticks and self._ticks[0] <= now:
            heappop(self._ticks)
        if now == hour_start(hour_of(now)):
            self._deliver(hour_of(now))
        self._billing.settle(now, ready=lambda hour: True)

    def _deliver(self, tick: int) -> None:
        """Write what has arrived as counters. Arriving does nothing by itself, so it waits for the full hour."""
        arrived: dict[tuple[str, str, int], None] = {}
        for instance, meter, hour, units in self._arrivals.pop(tick, ()):
            self._totals[instance, meter, hour] += units
            arrived[instance, meter, hour] = None
        if not arrived:
            return
        rows = [
            {
                "writer": WRITER,
                "account": self._account_of[instance],
                "instance": instance,
                "region": self._region_of[instance],
                "service": "-",
                "meter": meter,
                "hour": hour,
                "value": self._totals[instance, meter, hour],
            }
            for instance, meter, hour in arrived
        ]
        marks = {(row["account"], row["hour"]) for row in rows}
        with transaction(self._engine) as connection:
            connection.execute(insert_or_replace(connection, counter, "value"), rows)
            connection.execute(
                insert_or_replace(connection, dirty, "hour"),
                [{"account": account, "hour": hour} for account, hour in sorted(marks)],
            )

    def _take(self, index: int, event: given.Event, now: int) -> None:
        was_refused = False
        self._is_stale |= not isinstance(event, given.Use)
        try:
            self._carry_out(event, now)
        except Refused as refusal:
            if refusal.code == "exists":
                raise ConfigError([Fault(f"events[{index}].id", f"is in use already: {refusal.detail}")]) from None
            self._refused.append({"event": index, "reason": refusal.code})
            was_refused = True
        # What the desk did was examined there; a balance can only be low where a threshold is set.
        account = self._account_concerned(event) if was_refused or isinstance(event, given.Use) else None
        if account in self._with_alert:
            self._billing.note_event(account, now)
            self._is_stale = True

    def _carry_out(self, event: given.Event, now: int) -> None:
        billing = self._billing
        match event:
            case given.TopUp():
                billing.top_up(event.account, cash=event.cash, gift=event.gift, income=event.income, now=now)
            case given.GiveVoucher():
                billing.give_voucher(event.account, event.id, event.amount, event.expires_at, now)
            case given.BuyPack():
                billing.buy_pack(
                    event.account,
                    event.id,
                    meters=event.units,
                    months=event.months,
                    price=event.price,
                    source=Source(event.source),
                    now=now,
                )
            case given.RefundPack():
                billing.refund_pack(event.id, now=now)
            case given.BuyInstance():
                if event.spec == given.SHARED:
                    billing.make_shared_instance(event.account, event.id, event.region, now)
                else:
                    billing.buy_instance(
                        event.account,
                        event.id,
                        spec=event.spec,
                        region=event.region,
                        months=event.months,
                        price=event.price,
                        now=now,
                    )
                self._account_of[event.id] = event.account
                self._region_of[event.id] = event.region
            case given.ReleaseInstance():
                billing.release_instance(event.id, now=now)
            case given.RefundInstance():
                billing.refund_instance(event.id, now=now)
            case given.RenewInstance():
                billing.renew_instance(event.id, months=event.months, now=now)
            case given.Use():
                billing.require_service(event.instance)
                self._use(event)
            case given.ChangePrice():
                tiers = event.tiers or ((None, event.price or 0),)
                billing.change_price(event.sku, event.region, [Tier(up_to, price_e8) for up_to, price_e8 in tiers], now)

    def _use(self, event: given.Use) -> None:
        """Settled when its hour ends; what arrives later at the first full hour after (DESIGN 1.4)."""
        hour = hour_of(event.at)
        in_time = hour + 1
        arrival = in_time if event.arrives_at is None else max(in_time, next_full_hour(event.arrives_at))
        # Also when it comes late: the settlement that it was too late for does take place.
        for tick in {in_time, arrival}:
            heappush(self._ticks, hour_start(tick))
        for field, meter in _METERS.items():
            units = getattr(event, field)
            if units:
                self._arrivals[arrival].append((event.instance, meter, hour, units))

    def _account_concerned(self, event: given.Event) -> str | None:
        """Whose event it is, if that account exists by now."""
        match event:
            case given.ChangePrice():
                return None
            case given.Use():
                account = self._account_of.get(event.instance)
            case given.RefundPack():
                account = self._billing.account_of_pack(event.id)
            case given.ReleaseInstance() | given.RefundInstance() | given.RenewInstance():
                account = self._account_of.get(event.id)
            case _:
                account = event.account
        return account if account in self._opened else None

    def _document(self, account: ScenarioAccount, until: int) -> dict[str, Any]:
        """An account that is activated only later is shown with nothing in it: no instance, no grant yet."""
        if account.id not in self._opened:
            self._open_empty(account)
        return self._billing.account(account.id, until)
