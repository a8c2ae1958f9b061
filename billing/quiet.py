"""How long nothing but the seconds of what runs is billed: hours that are alike, and can be settled together.

For whoever jumps over time (`simulation.py`): what comes of the hours is the same, whether they are settled one by one.
"""

from sqlalchemy import Connection, func, select

from billing import tables
from billing.accounts import AccountState
from billing.calendar import HOUR_S, LocalCalendar, hour_of
from billing.ledger import read_wallets
from billing.turns import IS_RUNNING
from metering.tables import dirty

_instance, _account = tables.instance.c, tables.account.c
_running = (
    select(
        _instance.account,
        _account.state,
        _account.alert_e8,
        func.sum(_instance.price_e8),
        func.min(_instance.clocked_to),
    )
    .join(tables.account)
    .where(IS_RUNNING)
    .group_by(_instance.account, _account.state, _account.alert_e8)
)
_a_mark = select(dirty.c.hour).limit(1)


def quiet_until(connection: Connection, calendar: LocalCalendar) -> int | None:
    """A full hour: settled together up to it, no balance falls below zero or a threshold on the way, no hold falls
    short, no bill closes. None where that is not known to last. Deadlines and grants are the account's `due_at`."""
    running = connection.execute(_running).all()
    if not running or connection.execute(_a_mark).first() is not None:
        return None
    wallets = read_wallets(connection, [row[0] for row in running])
    ends: list[int] = []
    for account, state, alert_e8, second_e8, clocked_to in running:
        spare_e8 = wallets[account].available_e8 - max(0, alert_e8 or 0)
        if state != AccountState.ACTIVE or spare_e8 < 0:
            return None
        ends.append(calendar.month_closes_at(calendar.month_of_hour(hour_of(clocked_to))))
        if second_e8:
            # Vouchers would make it longer: they are not reckoned with.
            ends.append(clocked_to + spare_e8 // int(second_e8))
    return min(ends) // HOUR_S * HOUR_S
