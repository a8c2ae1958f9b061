"""Who is settled with whom in one transaction, and what becomes of the others when one of them fails.

A transaction and its statements cost more than the rows of one account's hour, so accounts take turns together: as
many as make about `TURN_HOURS` account-hours. That bounds the memory, and the time for which others wait.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from sqlalchemy import Connection, Engine, bindparam, func, literal, or_, select, union_all

from billing import tables
from billing.accounts import SERVED
from billing.calendar import HOUR_S, hour_start
from billing.instances import Charge, InstanceState
from metering.database import is_away, transaction
from metering.tables import dirty

TURN_HOURS: Final = 500
# Turns under way at once on a server: one is rated here while another's rows are read and written there.
AT_ONCE: Final = 2

_instance, _account = tables.instance.c, tables.account.c
IS_RUNNING: Final = (
    (_instance.charge == Charge.PAYG)
    & (_instance.state == InstanceState.ACTIVE)
    & or_(*(_account.state == state for state in sorted(SERVED)))
)
_through = bindparam("through", type_=tables.Int64)
_clocked_hour = _instance.clocked_to // literal(HOUR_S, tables.Int64)
_hours = union_all(
    select(dirty.c.account, dirty.c.hour.label("since"), literal(1, tables.Int64).label("hours"))
    .join(tables.account, _account.id == dirty.c.account)
    .where(dirty.c.hour <= _through),
    select(_instance.account, _clocked_hour, _through - _clocked_hour + 1)
    .join(tables.account)
    .where(IS_RUNNING, _instance.clocked_to < bindparam("end", type_=tables.Int64)),
).subquery()
_work = (
    select(_hours.c.account, func.min(_hours.c.since), func.sum(_hours.c.hours))
    .group_by(_hours.c.account)
    .order_by(func.min(_hours.c.since), _hours.c.account)
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one transaction settles: the hours from `first` to `last` of these accounts."""

    accounts: tuple[str, ...]
    first: int
    last: int


def turns(connection: Connection, through: int) -> list[Turn]:
    """All accounts with usage that is not billed, or with instances whose seconds are not counted yet."""
    parameters = {"through": through, "end": hour_start(through + 1)}
    work = connection.execute(_work, parameters)
    return list(cut(((account, since, int(hours)) for account, since, hours in work), through))


def cut(work: Iterable[tuple[str, int, int]], through: int) -> Iterator[Turn]:
    """(account, its oldest hour, how many there are), by the oldest hour, into turns that are short enough.

    An account that has too many by itself comes several times, later hours after earlier ones.
    """
    accounts: list[str] = []
    first = total = 0
    for account, since, hours in work:
        if accounts and total + hours > TURN_HOURS:
            yield Turn(tuple(accounts), first, through)
            accounts = []
        if hours > TURN_HOURS:
            for begin in range(since, through + 1, TURN_HOURS):
                yield Turn((account,), begin, min(through, begin + TURN_HOURS - 1))
            continue
        if not accounts:
            first, total = since, 0
        accounts.append(account)
        total += hours
    if accounts:
        yield Turn(tuple(accounts), first, through)


def take_turns(engine: Engine, planned: Iterable[Turn], settle: Callable[[Turn], int]) -> int:
    """Settles each; the sum of what that returns. Those of the same accounts come one after another, in order.

    On SQLite, which has one writer, all do; on a server AT_ONCE go side by side: they share no account, and what
    they share, the currency's wallets, each locks last and in the same order. What one raises ends it, when those
    under way are done; no other is begun.
    """

    def settle_one_by_one(of_same: Sequence[Turn]) -> int:
        return sum(map(settle, of_same))

    jobs = [list(of_same) for _, of_same in groupby(planned, key=lambda turn: turn.accounts)]
    if engine.dialect.name == "sqlite" or len(jobs) < AT_ONCE:
        return sum(map(settle_one_by_one, jobs))
    with ThreadPoolExecutor(AT_ONCE, "settling") as threads:
        try:
            return sum(threads.map(settle_one_by_one, jobs))
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


def carry_out(
    engine: Engine,
    accounts: Sequence[str],
    act: Callable[[Connection, Sequence[str]], int],
    failures: dict[str, Exception],
) -> int:
    """Do it for all of the accounts in one transaction; the sum of what it returns.

    Where that fails it is done for each half by itself, until whoever fails is alone and goes into `failures`.
    Raises what the store raises where it is the store that fails.
    """
    if not accounts:
        return 0
    try:
        with transaction(engine) as connection:
            return act(connection, accounts)
    except Exception as error:
        if is_away(error):
            raise
        if len(accounts) == 1:
            failures[accounts[0]] = error
            return 0
    middle = len(accounts) // 2
    return sum(carry_out(engine, half, act, failures) for half in (accounts[:middle], accounts[middle:]))
