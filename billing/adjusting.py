"""An operator's credit: a settlement with a negative line, and the money back where it came from (C.4). Pure."""

from collections.abc import Mapping

from billing.book import Book, Settlement
from billing.charging import Line
from billing.refunds import shares
from billing.wallet import BUCKETS, Payment


def adjust_hour(
    book: Book,
    hour: int,
    rev: int,
    instance: str,
    meter: str,
    amount_e8: int,
    paid_e8: Mapping[str, int],
    reason: str,
    now: int,
) -> Settlement:
    """`amount_e8` > 0 comes back: shared as the buckets paid for the hour, or as a gift where no money did."""
    calendar, account = book.calendar, book.account
    money_e8 = dict(paid_e8) if any(paid_e8.values()) else {**dict.fromkeys(BUCKETS, 0), "gift": 1}
    parts_e8 = shares(amount_e8, money_e8, BUCKETS)
    book.wallet.refund(f"settle:{account.id}:{hour}:{rev}", parts_e8)
    region = book.instances[instance].region
    month = calendar.month_of_hour(hour)
    is_closed = now > calendar.month_closes_at(month)
    line = Line(instance, region, meter, "adjust", 0, 0, 1, list_e8=-amount_e8, amount_e8=-amount_e8)
    settlement = Settlement(
        hour,
        rev,
        at=now,
        bill_month=calendar.month_of(now) if is_closed else month,
        corrects_month=month if is_closed else None,
        is_late=True,
        amount_e8=-amount_e8,
        payment=Payment(0, -parts_e8["gift"], -parts_e8["income"], -parts_e8["cash"]),
        lines=(line,),
        reason=reason,
    )
    book.news.settlements.append(settlement)
    return settlement
