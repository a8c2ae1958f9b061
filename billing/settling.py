"""One hour of one account: charge it, pay it, look at the balance (RULES C.4). Pure."""

from collections.abc import Iterable

from billing.book import Book, Settlement
from billing.bounds import require_carried
from billing.calendar import hour_start
from billing.charging import Usage, charge_hour
from billing.terms import Terms


def settle_hour(
    book: Book, hour: int, rev: int, usage: Iterable[Usage], terms: Terms, now: int, *, is_late: bool
) -> Settlement | None:
    """Bill what was metered in the hour and not billed yet; None when there is nothing.

    Rated against the month of the hour, whenever it arrives; put on the bill of that month, or on the present
    one once that is closed. A settlement at the closing instant itself still belongs to the old bill (P9). What
    covers it and what it costs depend on the hour, never on `now`: prices, packs, and which vouchers are valid (P5).
    """
    calendar = book.calendar
    month = calendar.month_of_hour(hour)
    lines = charge_hour(hour, month, usage, book.packs, terms.prices, book.positions, terms.regions_without_packs)
    if not lines:
        return None
    amount_e8 = sum(line.amount_e8 for line in lines)
    is_closed = now > calendar.month_closes_at(month)
    voucher, voucher_e8 = book.voucher_for(amount_e8, hour_start(hour + 1))
    if voucher:
        voucher.left_e8 -= voucher_e8
    owed_e8 = -book.wallet.total_e8
    journal = f"settle:{book.account.id}:{hour}:{rev}"
    settlement = Settlement(
        hour,
        rev,
        at=now,
        bill_month=calendar.month_of(now) if is_closed else month,
        corrects_month=month if is_closed else None,
        is_late=is_late,
        amount_e8=amount_e8,
        payment=book.wallet.pay_with_holds(journal, amount_e8, voucher_e8, book.holds()),
        lines=tuple(lines),
    )
    require_carried(book.account.id, book.wallet, owed_e8, (amount_e8, *(line.list_e8 for line in lines)))
    book.news.settlements.append(settlement)
    book.examine(now)
    return settlement
