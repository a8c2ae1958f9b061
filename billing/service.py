"""The facade: what the gateway's control process, the command line and the simulation ask of billing.

Sans clock: every operation is told `now`, epoch seconds. Documents are JSON-able and have the shapes of DESIGN 1.4.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from sqlalchemy import Connection, Engine, select

from billing import account_ledger, ledger, outbox, reconcile, store, tables, views
from billing.accounts import SERVED
from billing.books import open_books
from billing.calendar import DEFAULT_TIMEZONE, LocalCalendar, hour_of, hour_start, next_full_hour
from billing.charging import skus_by_type
from billing.differences import differences
from billing.enrolment import Enrolment
from billing.errors import LedgerFault, Refused
from billing.explain import explanation
from billing.focus import focus_rows
from billing.instances import InstanceState
from billing.operator import OperatorDesk
from billing.price_rows import add_price, enter_basis, enter_prices, read_basis, read_prices
from billing.prices import CALLS, EGRESS
from billing.quiet import quiet_until
from billing.rating import Tier
from billing.settlement import (
    last_ready_hour,
    next_settlement_at,
    oldest_unsettled_hour,
    read_settled_hour,
    settle_accounts,
    write_settled_hour,
)
from billing.statement import statement
from billing.terms import Terms
from billing.turns import TURN_HOURS, Turn, carry_out, take_turns, turns
from billing.views import Document
from billing.whatif import Wish, what_if
from config.catalog import Catalog
from config.prices import PriceBook
from config.schema import Settings
from metering.database import transaction

_NAMED_MAX: Final = 10  # accounts in the message about those that failed


class Clock(Protocol):
    def now(self) -> float: ...


@dataclass(frozen=True, slots=True)
class SettleReport:
    """What one tick did. `through_hour` is the last hour that is settled."""

    through_hour: int
    settlements: int


class Billing(OperatorDesk):
    """One store's billing. Not for two threads at once; two processes are kept apart by the store."""

    def __init__(
        self,
        engine: Engine,
        price_book: PriceBook,
        catalog: Catalog,
        timezone: str = DEFAULT_TIMEZONE,
        egress_basis: str = "application",
        clock: Clock | None = None,
        *,
        is_migrated: bool = False,
    ) -> None:
        """Brings the store's schema up to date, unless told that it is. `clock` only dates what views show."""
        if not is_migrated:
            # Alembic is slow to import, and a store in memory has no past to migrate from.
            from billing.migrations import migrate

            migrate(engine)
        super().__init__(engine, price_book, catalog, LocalCalendar(timezone))
        self._egress_basis = egress_basis
        self._clock = clock
        self._last_now = 0
        self._terms: Terms | None = None
        self._is_book_entered = False
        self._enrolment: Enrolment | None = None

    def settle(self, now: float, ready: Callable[[int], bool]) -> SettleReport:
        """Settle the hours that ended and are ready (RULES C.4), then pass the deadlines that are due (P9).

        Idempotent: done again, it finds nothing to bill. An account is settled whole or not at all; one that cannot be
        keeps no other from it. Raises LedgerFault at the end, which names those.
        """
        at = self._note(now)
        through = last_ready_hour(at, ready)
        terms = self._current_terms(at)
        with transaction(self.engine) as connection:
            settled_before = read_settled_hour(connection)
            planned = turns(connection, through)
        failures: dict[str, Exception] = {}

        def settle_turn(turn: Turn) -> int:
            settle = partial(
                settle_accounts,
                first=turn.first,
                last=turn.last,
                settled_before=settled_before,
                terms=terms,
                calendar=self.calendar,
                now=at,
            )
            # Of one that failed, no later hour is settled before an earlier one.
            accounts = [account for account in turn.accounts if account not in failures]
            return carry_out(self.engine, accounts, settle, failures)

        count = take_turns(self.engine, planned, settle_turn)
        with transaction(self.engine) as connection:
            if through > settled_before:
                write_settled_hour(connection, through)
            due = store.accounts_due(connection, at)
        self._pass_deadlines(due, at, failures)
        if self._enrolment is not None:
            self._enrolment.try_again(at)
        if failures:
            raise LedgerFault(_told(failures)) from next(iter(failures.values()))
        return SettleReport(through, count)

    def settle_ended(self, account: str, now: float) -> None:
        at = self._note(now)
        terms = self._current_terms(at)
        last = hour_of(at - 1) - 1  # What happens on the full hour itself comes before its settlement (P9).
        try:
            with transaction(self.engine) as connection:
                settled_before = read_settled_hour(connection)
                settle_accounts(connection, [account], 0, last, settled_before, terms, self.calendar, at)
        except LedgerFault as fault:
            raise Refused("too_large", str(fault)) from None

    def next_instant(self) -> int | None:
        """The next instant at which anything can happen by itself: a deadline, a grant, an alert, or the end
        of an hour in which something is metered. For whoever would rather jump there than wait."""
        with transaction(self.engine) as connection:
            candidates = [store.next_due_at(connection), next_settlement_at(connection)]
        return min((instant for instant in candidates if instant is not None), default=None)

    def quiet_until(self) -> tuple[int | None, int | None]:
        """A full hour up to which all hours may be settled together (quiet.py), and the next instant at which anything
        else happens by itself."""
        with transaction(self.engine) as connection:
            return quiet_until(connection, self.calendar), store.next_due_at(connection)

    def _pass_deadlines(self, accounts: Sequence[str], at: int, failures: dict[str, Exception]) -> None:
        def act(connection: Connection, accounts: Sequence[str]) -> int:
            with open_books(connection, accounts, self.calendar, at) as books:
                for book in books:
                    book.pass_deadlines(at)
            return len(accounts)

        for begin in range(0, len(accounts), TURN_HOURS):
            carry_out(self.engine, accounts[begin : begin + TURN_HOURS], act, failures)

    def change_price(self, sku: str, region: str | None, tiers: Sequence[Tier], now: float) -> None:
        """A new version, from the next full hour on (P10). `region` None for calls."""
        assert (sku == CALLS and region is None) or (sku == EGRESS and region in self.catalog.regions)
        at = self._note(now)
        self._current_terms(at)
        with transaction(self.engine) as connection:
            add_price(connection, sku, region, tiers, next_full_hour(at))
        self._terms = None

    def sync(self, settings: Settings, now: float) -> Document:
        """Bring accounts and instances in line with the file (DESIGN 1.2). Done again, it changes nothing.

        Returns {"refused": [{"instance" or "account", "reason"}]}: a purchase that cannot be paid is tried again at
        each tick. What is wrong with one account is its own.
        """
        at = self._note(now)
        self._current_terms(at)
        self._enrolment = Enrolment(self, settings)
        return {"refused": self._enrolment.carry_out(at)}

    def differences(self, settings: Settings) -> list[str]:
        """What of accounts and instances stays otherwise than the file has it."""
        with transaction(self.engine) as connection:
            return differences(connection, settings)

    def settled_through(self) -> int | None:
        """The last hour that was settled in its time; None: none was."""
        with transaction(self.engine) as connection:
            return read_settled_hour(connection) or None

    # What is shown

    def entitlements(self) -> dict[str, bool]:
        """Which instances may serve: the account is not suspended, the instance is active (B49, X23)."""
        with transaction(self.engine) as connection:
            query = select(tables.instance.c.id, tables.instance.c.state, tables.account.c.state).join(tables.account)
            return {
                id: state == InstanceState.ACTIVE and account_state in SERVED
                for id, state, account_state in connection.execute(query)
            }

    def places(self) -> dict[str, tuple[str, str]]:
        """By instance, those that were too: its account and region."""
        columns = tables.instance.c
        with transaction(self.engine) as connection:
            found = connection.execute(select(columns.id, columns.account, columns.region))
            return {id: (account, region) for id, account, region in found}

    def ended_instances(self) -> set[str]:
        """Those that were released or destroyed (B42, B46)."""
        ended = [InstanceState.RELEASED, InstanceState.DESTROYED]
        with transaction(self.engine) as connection:
            query = select(tables.instance.c.id).where(tables.instance.c.state.in_(ended))
            return set(connection.execute(query).scalars())

    def destructions(self) -> dict[str, int]:
        """By account that was ever destroyed, the instant of the last time (B51): what was configured for it before is
        gone for good, also where it was opened again since."""
        with transaction(self.engine) as connection:
            return store.destructions(connection)

    def accounts(self, now: float | None = None) -> list[Document]:
        """Every account as `account` shows it, with its `id`; without the bills."""
        with transaction(self.engine) as connection:
            return [
                {"id": id, **views.account_document(connection, id, self._shown_at(now), with_bills=False)}
                for id in views.account_ids(connection)
            ]

    def account(self, account: str, now: float | None = None) -> Document:
        """The account document of DESIGN 1.4, with all its bills. Raises Refused("not_found")."""
        return self.bill(account, None, now)

    def bill(self, account: str, month: str | None = None, now: float | None = None) -> Document:
        """The account document with the bills of one month, or of all."""
        with transaction(self.engine) as connection:
            return views.account_document(connection, account, self._shown_at(now), month)

    def bill_lines(self, account: str, month: str) -> list[Document]:
        with transaction(self.engine) as connection:
            return views.line_documents(connection, account, month)

    def settlements(self, account: str | None = None, month: str | None = None) -> list[Document]:
        with transaction(self.engine) as connection:
            return views.settlement_documents(connection, account, month)

    def packs(self, account: str, now: float | None = None) -> list[Document]:
        with transaction(self.engine) as connection:
            return views.pack_documents(connection, account, self._shown_at(now))

    def orders(self, account: str) -> list[Document]:
        with transaction(self.engine) as connection:
            return views.order_documents(connection, account)

    def instances(self, account: str) -> list[Document]:
        with transaction(self.engine) as connection:
            return views.instance_documents(connection, account)

    def focus(self, account: str, month: str, now: float | None = None) -> list[Document]:
        """The rows of the FOCUS export of one invoice. Raises Refused("not_found")."""
        with transaction(self.engine) as connection:
            store.require_account(connection, account)
            regions = {id: region.name for id, region in self.catalog.regions.items()}
            return list(focus_rows(connection, account, month, self.calendar, regions, self._shown_at(now)))

    def explain(self, line: int, now: float | None = None) -> Document:
        """What stands behind a bill line. Raises Refused("not_found")."""
        with transaction(self.engine) as connection:
            return explanation(connection, line, self.calendar, self._shown_at(now))

    def transfers(
        self, account: str, begins: int | None = None, ends: int | None = None, after: int = 0
    ) -> tuple[list[Document], int | None]:
        """The account's transfers (account_ledger.py), and the id to go on after. Raises Refused("not_found")."""
        with transaction(self.engine) as connection:
            store.require_account(connection, account)
            return account_ledger.transfers(connection, account, begins, ends, after)

    def statement(self, account: str, month: str, now: float | None = None) -> Document:
        at = self._shown_at(now)
        terms = self._current_terms(at)
        with transaction(self.engine) as connection:
            return statement(connection, account, month, terms, self.calendar, at)

    def what_if(
        self,
        account: str,
        month: str,
        *,
        book: PriceBook | None = None,
        pack: tuple[str, int, int, int] | None = None,
        spec: str | None = None,
        now: float | None = None,
    ) -> Document:
        """The month's usage under other terms (whatif.py). `pack`: meter, quantity, months, price e8.

        Raises Refused("too_large") where it comes to more than is ever billed.
        """
        at = self._shown_at(now)
        terms = self._current_terms(at)
        with transaction(self.engine) as connection:
            wish = Wish(book, pack, spec)
            try:
                return what_if(connection, account, month, wish, terms, self.price_book, self.calendar, at)
            except LedgerFault as fault:
                raise Refused("too_large", str(fault)) from None

    def balances(self) -> list[tuple[str, str, int]]:
        """(account, currency, total e8) of every account; the total includes what is held (B47)."""
        with transaction(self.engine) as connection:
            return ledger.totals(connection)

    def lag_s(self, now: float) -> float:
        """For how long the oldest hour with usage that is not billed has been over; 0 when there is none (B3)."""
        with transaction(self.engine) as connection:
            hour = oldest_unsettled_hour(connection, int(now))
        return 0.0 if hour is None else max(0.0, now - hour_start(hour + 1))

    def reconcile(self, *, repair: bool = False) -> list[str]:
        """What in the store contradicts itself (C.7); nothing, as it should be. With `repair`, hours of which less was
        billed than counted are marked again: the next settlement bills the rest."""
        with transaction(self.engine) as connection:
            found = list(reconcile.findings(connection))
            if repair:
                reconcile.mark_unbilled(connection)
            return found

    # Notifications

    def due_notifications(
        self,
        channels: Mapping[str, Sequence[str]],
        now: int,
        over: str,
        most: int,
        of_account: int = 1,
        busy: Collection[str] = (),
    ) -> list[Document]:
        """To be sent now (outbox.py); `now` is the machine's own time, not the node's clock."""
        with transaction(self.engine) as connection:
            return outbox.due(connection, channels, now, over, most, of_account, busy)

    def note_delivery(self, notification: int, channel: str, now: int, error: str | None) -> bool:
        with transaction(self.engine) as connection:
            return outbox.note(connection, notification, channel, now, error)

    def _note(self, now: float) -> int:
        self._last_now = int(now)
        return self._last_now

    def _shown_at(self, now: float | None) -> int:
        """Packs expire as time goes by: by the caller's time, the clock's, or the last that was heard of."""
        if now is not None:
            return int(now)
        return int(self._clock.now()) if self._clock else self._last_now

    def _current_terms(self, at: int) -> Terms:
        """The book's prices are entered once in a process's life; later changes come by `change_price`."""
        if self._terms is None:
            with transaction(self.engine) as connection:
                if not self._is_book_entered:
                    enter_prices(connection, self.price_book, at)
                    enter_basis(connection, self._egress_basis, at)
                terms = Terms(
                    read_prices(connection),
                    read_basis(connection),
                    skus_by_type(self.price_book.egress_meters.model_dump()),
                    frozenset(id for id, region in self.catalog.regions.items() if not region.packs),
                )
            # Only what is committed is remembered.
            self._terms, self._is_book_entered = terms, True
        return self._terms


def _told(failures: Mapping[str, Exception]) -> str:
    named = [f"{account}: {error}" for account, error in list(failures.items())[:_NAMED_MAX]]
    rest = len(failures) - len(named)
    return "not settled: " + "; ".join([*named, f"and {rest} more"] if rest else named)
