"""What the operator may do beyond what an account may ask for itself (B20, B45, C.4)."""

from typing import Any

from sqlalchemy import Connection, func, select

from billing import tables, views
from billing.adjusting import adjust_hour
from billing.book import Book
from billing.books import new_grants
from billing.calendar import hour_of
from billing.charging import METERS
from billing.desk import Desk
from billing.errors import Refused
from billing.settlement import append_settlements
from billing.upsert import append_rows
from billing.views import Document
from billing.wallet import BUCKETS
from config.instants import instant_text
from metering.sums import exact_sum


class OperatorDesk(Desk):
    """The desk, and the operator's side of it."""

    def regrant_free(self, account: str, *, now: float, idem: str | None = None) -> Document:
        """Twelve fresh grants for each meter, counted from now; what is left of the old ones ends with this hour's
        start (B20)."""

        def act(connection: Connection, book: Book, at: int) -> Document:
            hour = hour_of(at)
            for pack in book.packs:
                # Its hour is not settled: nothing of it is used from here on, and no line is left outside.
                pack.to_hour = max(pack.from_hour, min(pack.to_hour, hour))
            one = book.account
            one.has_free_quota = True
            one.grants_anchor_at, one.grants_given, one.grants_series = at, 0, one.grants_series + 1
            append_rows(connection, tables.pack, new_grants(book, at))  # the first of them begins now
            return {"account": account, "at": instant_text(at)}

        return self._act(account, now, act, "regrant", [], idem, with_grants=True)

    def adjust(
        self,
        account: str,
        *,
        hour: int,
        instance: str,
        meter: str,
        amount_e8: int,
        reason: str,
        now: float,
        idem: str | None = None,
    ) -> Document:
        """Give money back for an ended hour, with a reason: counters never go down, so a line with a negative amount
        does it (C.4). Raises Refused("not_found") where the account has no such instance."""
        if amount_e8 <= 0 or not reason.strip() or meter not in METERS:
            raise ValueError("an adjustment has an amount above 0, a reason, and a meter of the bill")

        def act(connection: Connection, book: Book, at: int) -> Document:
            # Before the account was activated nothing was metered for it: there is nothing to give back.
            if instance not in book.instances or not hour_of(book.account.activated_at) <= hour < hour_of(at):
                raise Refused("not_found", f"{instance} of {account} has no ended hour {views.hour_text(hour)}")
            rev, paid_e8 = _hour_so_far(connection, account, hour)
            settlement = adjust_hour(book, hour, rev + 1, instance, meter, amount_e8, paid_e8, reason.strip(), at)
            append_settlements(connection, [(account, settlement)])
            return views.settlement_document(account, settlement)

        return self._act(account, now, act, "adjust", [hour, instance, meter, amount_e8, reason], idem, field="amount")

    def veto_refunds(self, account: str, is_vetoed: bool, now: float) -> None:
        """Whether instances of the account may be given back: suspected abuse may be refused (B45)."""
        with self._book(account, now) as book:
            book.account.is_refund_vetoed = is_vetoed


def _hour_so_far(connection: Connection, account: str, hour: int) -> tuple[int, dict[str, int]]:
    """The last revision of an hour, and what each bucket paid for it."""
    settlement: Any = tables.settlement.c
    sums = [exact_sum(settlement[f"{bucket}_e8"]) for bucket in BUCKETS]
    query = select(func.coalesce(func.max(settlement.rev), 0), *sums)
    row = connection.execute(query.where(settlement.account == account, settlement.hour == hour)).one()
    return int(row[0]), {bucket: max(0, int(paid_e8)) for bucket, paid_e8 in zip(BUCKETS, row[1:], strict=True)}
