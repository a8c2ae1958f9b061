"""What is done for an account at its own instant: opened, paid in, bought, given back.

Each operation is one transaction, and is done once for each idempotency key. Instants are epoch seconds, a fraction
is cut off (X29); money is e8. What the rules do not allow is raised as `Refused`, and then nothing was changed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import IntegrityError

from billing import ledger, orders, store, views
from billing.accounts import Account, AccountState
from billing.book import Book
from billing.books import open_book
from billing.bounds import require_room
from billing.calendar import LocalCalendar, next_full_hour
from billing.errors import Refused
from billing.idempotency import store_answer, stored_answer
from billing.instances import Charge, Instance, InstanceState
from billing.packs import Source
from billing.views import Document
from config.catalog import Catalog
from config.instants import instant_text
from config.prices import PriceBook
from metering.database import transaction
from metering.tables import dirty

Act = Callable[[Connection, Book, int], Document]


class Desk:
    """The account-facing half of `Billing`."""

    def __init__(self, engine: Engine, price_book: PriceBook, catalog: Catalog, calendar: LocalCalendar) -> None:
        self.engine = engine
        self.price_book = price_book
        self.catalog = catalog
        self.calendar = calendar

    def open_account(
        self,
        id: str,
        now: float,
        *,
        activated_at: int | None = None,
        entity: str | None = None,
        currency: str | None = None,
        has_free_quota: bool = True,
        alert_below_e8: int | None = None,
    ) -> None:
        """A new account, active, with nothing in it. Raises Refused("exists")."""
        at = int(now)
        since = at if activated_at is None else activated_at
        account = Account(
            id,
            entity or id,
            currency or self.price_book.currency,
            since,
            AccountState.ACTIVE,
            since,
            has_free_quota,
            alert_below_e8,
        )
        with transaction(self.engine) as connection:
            if store.account_exists(connection, id):
                raise Refused("exists", f"there is an account {id}")
            store.add_accounts(connection, [account])

    def set_alert(self, account: str, alert_below_e8: int | None, now: float) -> None:
        """The account's own threshold (B53); None: no alerts. The balance is looked at at once: a node that was away at
        midnight, and says the threshold again when it starts, has not missed the day's alert (P12)."""
        with self._book(account, now) as book:
            book.account.alert_e8 = alert_below_e8
            book.examine(int(now))

    def open_shared_instance(
        self, account: str, id: str, region: str, now: float, *, is_declared: bool = False
    ) -> None:
        """A shared instance costs nothing to have (B1). One that was released or destroyed runs again; none of an
        account that is destroyed. No event of the account. Raises Refused."""
        with (
            transaction(self.engine) as connection,
            open_book(connection, account, self.calendar, int(now)) as book,
        ):
            self._open_shared(connection, book, id, region, int(now), is_declared=is_declared)

    def make_shared_instance(self, account: str, id: str, region: str, now: float, idem: str | None = None) -> Document:
        """As the account's own wish: free of fees, at once, and no order. Refused to who owes anything."""

        def act(connection: Connection, book: Book, at: int) -> Document:
            orders.require_buyer(book.account)
            self._open_shared(connection, book, id, region, at)
            return {"account": account, "id": id}

        return self._act(account, now, act, "shared_instance", [id, region], idem)

    def top_up(
        self, account: str, *, cash: int = 0, gift: int = 0, income: int = 0, now: float, idem: str | None = None
    ) -> Document:
        """Money in, e8. Accepted in every state (P13)."""
        amounts_e8 = {"cash": cash, "income": income, "gift": gift}
        if min(amounts_e8.values()) < 0:
            raise ValueError("a top-up is not negative")

        def act(connection: Connection, book: Book, at: int) -> Document:
            orders.top_up(book, amounts_e8)
            return {"account": account, "at": instant_text(at), **views.money_document(amounts_e8)}

        return self._act(account, now, act, "top_up", amounts_e8, idem)

    def give_voucher(
        self, account: str, id: str, amount_e8: int, expires_at: int, now: float, idem: str | None = None
    ) -> Document:
        def act(connection: Connection, book: Book, at: int) -> Document:
            if store.voucher_exists(connection, account, id):
                raise Refused("exists", f"there is a voucher {id}")
            orders.give_voucher(book, id, amount_e8, expires_at)
            return {"account": account, "id": id}

        return self._act(account, now, act, "voucher", [id, amount_e8, expires_at], idem)

    def buy_pack(
        self,
        account: str,
        id: str,
        *,
        meter: str | None = None,
        quantity: int | None = None,
        meters: Mapping[str, int] | None = None,
        months: int,
        price: int,
        source: str = "purchase",
        now: float,
        idem: str | None = None,
    ) -> Document:
        """`price` is e8 for the whole pack; `quantity` calls or bytes, or `meters` of both (B31); `source` purchase or
        campaign."""
        units = dict(meters) if meters is not None else {str(meter): quantity or 0}
        # The way in which one of a single meter was asked for before there were others.
        asked: Sequence[Any] = next(iter(units.items())) if len(units) == 1 else [units]

        def act(connection: Connection, book: Book, at: int) -> Document:
            if store.pack_exists(connection, id):
                raise Refused("exists", f"there is a pack {id}")
            orders.require_buyer(book.account)
            self._require_currency(book, is_sold=self.price_book.sells_packs)
            packs = orders.buy_pack(book, id, units, months, price, Source(source), at)
            return {"account": account, **views.whole_pack_document(packs, at)}

        return self._act(account, now, act, "pack", [id, *asked, months, price, source], idem, field="price")

    def refund_pack(self, id: str, *, now: float, idem: str | None = None) -> Document:
        account = self._owner_of_pack(id, int(now))
        # Else it would depend on when the settler came by whether the pack was used in an hour that is over (B37).
        self.settle_ended(account, now)

        def act(connection: Connection, book: Book, at: int) -> Document:
            paid = store.orders_for(connection, account, id, ("pack",), since=0)
            orders.refund_pack(book, book.packs, paid[0].payment if paid else orders.NOTHING_PAID, at)
            return {"account": account, **views.whole_pack_document(book.packs, at)}

        return self._act(account, now, act, "refund_pack", [id], idem, pack_id=id)

    def buy_instance(
        self,
        account: str,
        id: str,
        *,
        spec: str,
        region: str,
        months: int | None = None,
        price: int | None = None,
        now: float,
        idem: str | None = None,
        is_declared: bool = False,
    ) -> Document:
        """A dedicated one: prepaid for `months`, else by the second; at `price` e8 a month or second, or the book's."""

        def act(connection: Connection, book: Book, at: int) -> Document:
            # By the file it would be bought again at a start, by nobody's wish, once its term is over.
            self._require_new_instance(connection, book, id, "dedicated", may_be_destroyed=not is_declared)
            orders.require_buyer(book.account)
            if not self.catalog.regions[region].dedicated:
                raise Refused("region_unsupported", f"no dedicated instances in {region}")
            offer = self.price_book.instances.get(spec)
            self._require_currency(book, is_sold=offer is not None or price is not None)
            price_e8 = price
            if price_e8 is None:
                assert offer is not None
                price_e8 = offer.per_second if months is None else offer.per_month
            self._require_billed(connection, book, id, Charge.PAYG if months is None else Charge.PREPAID, price_e8)
            orders.buy_instance(book, id, spec, region, price_e8, at, months=months, is_declared=is_declared)
            return {"account": account, "id": id}

        return self._act(account, now, act, "instance", [id, spec, region, months, price], idem, field="price")

    def release_instance(self, id: str, *, now: float, idem: str | None = None) -> Document:
        def act(connection: Connection, book: Book, at: int) -> Document:
            orders.release_instance(book, book.instances[id], at)
            return {"account": book.account.id, "id": id}

        return self._act(self._account_of(id), now, act, "release", [id], idem)

    def refund_instance(self, id: str, *, now: float, idem: str | None = None) -> Document:
        def act(connection: Connection, book: Book, at: int) -> Document:
            instance, entity = book.instances[id], book.account.entity
            since = instance.started_at
            paid = store.orders_for(connection, book.account.id, id, ("instance", "renew"), since)
            is_used = store.five_day_used(connection, entity)
            if orders.refund_instance(book, instance, paid, at, five_day_used=is_used):
                store.use_five_day(connection, entity, id, at)
            return {"account": book.account.id, "id": id}

        return self._act(self._account_of(id), now, act, "refund", [id], idem)

    def renew_instance(self, id: str, *, months: int, now: float, idem: str | None = None) -> Document:
        def act(connection: Connection, book: Book, at: int) -> Document:
            orders.renew_instance(book, book.instances[id], months, at)
            return {"account": book.account.id, "id": id}

        return self._act(self._account_of(id), now, act, "renew", [id, months], idem, field="months")

    def settle_ended(self, account: str, now: float) -> None:
        """Bill what the account used in the hours that are over, as far as it is counted."""
        raise NotImplementedError

    def require_service(self, instance: str) -> None:
        """Raises Refused where an instance cannot serve: suspended, destroyed, not_active, not_found."""
        with transaction(self.engine) as connection:
            account, account_state, state = store.states_of(connection, instance)
        if account_state is AccountState.DESTROYED:
            raise Refused("destroyed", f"account {account} is destroyed")
        if account_state is AccountState.SUSPENDED:
            raise Refused("suspended", f"account {account} is suspended")
        if state is not InstanceState.ACTIVE:
            raise Refused("not_active", f"{instance} is {state}")

    def account_of_pack(self, id: str) -> str | None:
        with transaction(self.engine) as connection:
            try:
                return store.find_pack(connection, id)[0]
            except Refused:
                return None

    def note_event(self, account: str, now: float) -> None:
        """Something happened that is no act of the desk (usage, a refusal): look at the balance (P12)."""

        def act(connection: Connection, book: Book, at: int) -> Document:
            return {}

        self._act(account, now, act, "note", [], None)

    @contextmanager
    def _book(self, account: str, now: float) -> Iterator[Book]:
        """For what is no event of the account."""
        with (
            transaction(self.engine) as connection,
            open_book(connection, account, self.calendar, int(now)) as book,
        ):
            yield book

    def _act(
        self,
        account: str,
        now: float,
        act: Act,
        operation: str,
        arguments: Any,
        idem: str | None,
        *,
        pack_id: str | None = None,
        with_grants: bool = False,
        field: str | None = None,
    ) -> Document:
        """One transaction: the act, then a look at the balance; the stored answer when the key is known.

        `field`: of what was asked, the one that a refusal names where money would grow too large.
        """
        at = int(now)
        asked = [account, arguments]

        def once() -> Document:
            with (
                transaction(self.engine) as connection,
                open_book(connection, account, self.calendar, at, pack_id=pack_id, with_grants=with_grants) as book,
            ):
                # With the account locked: who asks with the same key at the same time waits, and then finds the answer.
                if idem is not None:
                    answer: Document | None = stored_answer(connection, idem, operation, asked)
                    if answer is not None:
                        return answer
                book.note_event(at)
                document = act(connection, book, at)
                book.examine(at)
                require_room(book.wallet, field)
                ledger.require_room(connection, book.account, book.wallet.moves, field)
                if idem is not None:
                    store_answer(connection, idem, operation, asked, document, at)
                return document

        try:
            return once()
        except IntegrityError:
            if idem is None:
                raise
            # Another account took the key meanwhile; now it is there to be seen.
            return once()

    def _owner_of_pack(self, id: str, at: int) -> str:
        with transaction(self.engine) as connection:
            try:
                return store.find_pack(connection, id)[0]
            except Refused:
                # A grant begins by itself, at the latest when somebody looks (B17).
                for account in store.accounts_due(connection, at):
                    with open_book(connection, account, self.calendar, at):
                        pass
                return store.find_pack(connection, id)[0]

    def _account_of(self, instance: str) -> str:
        with transaction(self.engine) as connection:
            return store.account_of_instance(connection, instance)

    def _open_shared(
        self, connection: Connection, book: Book, id: str, region: str, at: int, *, is_declared: bool = False
    ) -> None:
        self._require_new_instance(connection, book, id, "shared", may_be_destroyed=True)
        orders.require_not_destroyed(book.account)
        account = book.account.id
        book.instances[id] = Instance(
            id, account, "shared", Charge.USAGE, None, region, InstanceState.ACTIVE, at, is_declared=is_declared
        )

    def _require_new_instance(
        self, connection: Connection, book: Book, id: str, type: str, *, may_be_destroyed: bool
    ) -> None:
        """An id is free, or was released by the same account, or destroyed with what it had; it may be taken up again.

        It keeps its type: usage that comes late is billed by what the instance is, and has to have been (B1).
        """
        known = book.instances.get(id)
        ended = {InstanceState.RELEASED, InstanceState.DESTROYED} if may_be_destroyed else {InstanceState.RELEASED}
        if known.state not in ended if known else store.instance_exists(connection, id):
            raise Refused("exists", f"there is an instance {id}")
        if known and known.type != type:
            raise Refused("exists", f"{id} was a {known.type} instance")

    def _require_billed(self, connection: Connection, book: Book, id: str, charge: Charge, price_e8: int) -> None:
        """Seconds are billed at the instance's price (B41): it changes only when those it ran before are billed."""
        known = book.instances.get(id)
        if known is None or (known.charge, known.price_e8) == (charge, price_e8):
            return
        if _has_mark_before(connection, book.account.id, next_full_hour(known.clocked_to)):
            raise Refused("exists", f"{id} ran at another price until its release, and that is not billed yet")

    def _require_currency(self, book: Book, *, is_sold: bool) -> None:
        """Sold in the price book's currency, if at all; nothing is ever converted (B39, X9)."""
        if not is_sold or book.account.currency != self.price_book.currency:
            raise Refused("currency_unsupported", f"not sold in {book.account.currency}")


def _has_mark_before(connection: Connection, account: str, hour: int) -> bool:
    """Whether something of an earlier hour waits to be billed."""
    query = select(dirty.c.hour).where(dirty.c.account == account, dirty.c.hour < hour).limit(1)
    return connection.execute(query).first() is not None
