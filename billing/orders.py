"""What an account may ask for: money in, vouchers, packs, dedicated instances, and all of it back. Pure.

Each function moves the book on, or raises `Refused` before anything was changed.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from billing.accounts import Account, AccountState
from billing.book import Book, Order
from billing.bounds import TERM_MONTHS_MAX
from billing.errors import Refused
from billing.instances import HOLD_SECONDS, Charge, Instance, InstanceEvent, InstanceState
from billing.packs import Pack, Source, refund_refusal, validity
from billing.refunds import pro_rata_e8, shares, within_five_days
from billing.vouchers import Voucher
from billing.wallet import BUCKETS, Hold, Payment
from config.money import E8, PRICE_MAX_E8

_REFUSED_IN: Final = {
    AccountState.ARREARS: "in_arrears",
    AccountState.SUSPENDED: "suspended",
    AccountState.DESTROYED: "destroyed",
}
_NOT_REFUNDED: Final = {
    "pack_refunded": "was given back already",
    "pack_source": "is free quota",
    "pack_used": "is in use",
    "pack_expired": "has expired",
}

NOTHING_PAID: Final = Payment()


def top_up(book: Book, amounts_e8: dict[str, int]) -> None:
    """Money comes in, in every state: one that was destroyed may begin anew once nothing is owed (P13)."""
    journal = book.next_journal("top_up")
    for bucket in BUCKETS:
        book.wallet.deposit(f"{journal}:{bucket}", bucket, amounts_e8.get(bucket, 0))


def give_voucher(book: Book, id: str, amount_e8: int, expires_at: int) -> Voucher:
    """May be given in arrears, but is not used then (P5)."""
    require_not_destroyed(book.account)
    voucher = Voucher(0, id, amount_e8, amount_e8, expires_at)
    book.news.vouchers.append(voucher)
    return voucher


def buy_pack(
    book: Book, id: str, units: Mapping[str, int], months: int, price_e8: int, source: Source, now: int
) -> list[Pack]:
    """Units by meter, one or several (B31), for one price. From the hour of purchase (X17); none is free (P4)."""
    assert source is not Source.FREE
    require_buyer(book.account)
    from_hour, to_hour = validity(now, months)
    _purchase(book, "pack", id, price_e8, now)
    packs = [
        Pack(0, id, meter, source, quantity, 0, from_hour, to_hour, collected_at=now)
        for meter, quantity in units.items()
    ]
    book.news.packs += packs
    return packs


def refund_pack(book: Book, packs: Sequence[Pack], paid: Payment, now: int) -> None:
    """All that was paid, except by voucher, back to where it came from; the pack is void at once (B38, X32). `packs`:
    of each of its meters, none of which may be in use (B37)."""
    require_not_destroyed(book.account)
    for pack in packs:
        code = refund_refusal(pack, now)
        if code:
            raise Refused(code, f"pack {pack.id} {_NOT_REFUNDED[code]}")
    for pack in packs:
        pack.is_refunded = True
    _give_back(book, packs[0].id, paid.money_e8, now)


def buy_instance(
    book: Book,
    id: str,
    spec: str,
    region: str,
    price_e8: int,
    now: int,
    *,
    months: int | None = None,
    is_declared: bool = False,
) -> Instance:
    """Prepaid for `months` (B40), or by the second when None, for which an hour's price is held (B41, X25)."""
    require_buyer(book.account)
    if months is None and price_e8 > PRICE_MAX_E8:
        raise Refused("too_large", f"a second costs {PRICE_MAX_E8 // E8:,} at most", field="price")
    instance = Instance(
        id,
        book.account.id,
        "dedicated",
        Charge.PAYG if months is None else Charge.PREPAID,
        spec,
        region,
        InstanceState.ACTIVE,
        now,
        price_e8,
        is_declared=is_declared,
        clocked_to=now,
    )
    if months is None:
        instance.hold = Hold(price_e8 * HOLD_SECONDS)
        if book.wallet.available_e8 < instance.hold.target_e8:
            raise Refused("insufficient_funds", f"{id} needs a hold of one hour's price")
        _purchase(book, "instance", id, 0, now)  # A hold is no payment (P6).
        book.wallet.place(book.next_journal("hold"), instance.hold)
    else:
        _purchase(book, "instance", id, price_e8 * months, now)
        instance.months = months
        instance.expires_at = book.calendar.plus_months(now, months)
    book.instances[id] = instance
    return instance


def release_instance(book: Book, instance: Instance, now: int) -> None:
    """Seconds end here, the hold comes back (B42). A prepaid instance is refunded instead (P8)."""
    require_not_destroyed(book.account)
    if instance.charge is Charge.PREPAID:
        raise Refused("wrong_charge", f"{instance.id} is prepaid: refund it")
    _require(instance, InstanceEvent.RELEASE)
    book.clock_to(now)
    book.wallet.release(book.next_journal("release"), instance.hold)
    instance.after(InstanceEvent.RELEASE, now)


def refund_instance(book: Book, instance: Instance, paid: Sequence[Order], now: int, *, five_day_used: bool) -> bool:
    """Isolated at once; returns whether the entity's five-day refund was used (B43-B46).

    `paid` are the instance's purchase and renewals. The five-day refund is for new purchases without renewals (P8).
    """
    require_not_destroyed(book.account)
    _require_prepaid(instance)
    _require(instance, InstanceEvent.REFUND)
    if book.account.is_refund_vetoed:
        raise Refused("refund_vetoed", f"the operator has stopped refunds of {book.account.id}")
    assert instance.expires_at is not None
    money_e8 = {bucket: sum(order.payment.money_e8[bucket] for order in paid) for bucket in BUCKETS}
    is_five_day = (
        not five_day_used and not instance.renewals and within_five_days(instance.started_at, now, book.calendar)
    )
    if not is_five_day:
        left_e8 = pro_rata_e8(
            sum(order.list_e8 for order in paid),
            sum(money_e8.values()),
            instance.started_at,
            instance.expires_at,
            now,
        )
        money_e8 = shares(left_e8, money_e8, BUCKETS)
    _give_back(book, instance.id, money_e8, now)
    instance.after(InstanceEvent.REFUND, now)
    instance.was_refunded = True
    return is_five_day


def renew_instance(book: Book, instance: Instance, months: int, now: int) -> None:
    """From the old expiry, months counted from the first start; also out of an isolation by expiry (P8)."""
    require_buyer(book.account)
    _require_prepaid(instance)
    _require(instance, InstanceEvent.RENEW)
    if instance.months + months > TERM_MONTHS_MAX:
        raise Refused("too_large", f"a term is {TERM_MONTHS_MAX} months at most", field="months")
    _purchase(book, "renew", instance.id, instance.price_e8 * months, now)
    instance.months += months
    instance.renewals += 1
    instance.expires_at = book.calendar.plus_months(instance.started_at, instance.months)
    instance.after(InstanceEvent.RENEW, now)


def require_buyer(account: Account) -> None:
    """Who owes anything buys nothing (RULES C.6)."""
    code = _REFUSED_IN.get(account.state)
    if code:
        raise Refused(code, f"account {account.id} is {account.state}")


def require_not_destroyed(account: Account) -> None:
    """Raises Refused("destroyed")."""
    if account.state is AccountState.DESTROYED:
        raise Refused("destroyed", f"account {account.id} is destroyed")


def _require_prepaid(instance: Instance) -> None:
    if instance.charge is not Charge.PREPAID:
        raise Refused("wrong_charge", f"{instance.id} is not prepaid")


def _require(instance: Instance, event: InstanceEvent) -> None:
    if not instance.can(event):
        raise Refused("not_active", f"{instance.id} is {instance.state}")


def _purchase(book: Book, kind: str, ref: str, list_e8: int, now: int) -> None:
    """Paid in full or not at all (B40): one voucher, then gift, income, cash (X26)."""
    voucher, voucher_e8 = book.voucher_for(list_e8, now)
    if book.wallet.available_e8 < list_e8 - voucher_e8:
        raise Refused("insufficient_funds", f"{ref} costs more than there is")
    if voucher:
        voucher.left_e8 -= voucher_e8
    payment = book.wallet.pay(book.next_journal(kind), list_e8, voucher_e8)
    book.news.orders.append(Order(now, kind, ref, list_e8, payment))


def _give_back(book: Book, ref: str, money_e8: dict[str, int], now: int) -> None:
    book.wallet.refund(book.next_journal("refund"), money_e8)
    payment = Payment(0, -money_e8["gift"], -money_e8["income"], -money_e8["cash"])
    book.news.orders.append(Order(now, "refund", ref, -sum(money_e8.values()), payment))
