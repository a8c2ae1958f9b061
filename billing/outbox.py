"""Notifications that wait to be sent, and what became of each (RULES C.5). Written by the transaction that decides on
them; sent later, by whoever asks for them here, as often as it takes. Times are the machine's own, epoch seconds."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, func, or_, select, update

from billing import tables
from billing.upsert import ignore_rows
from billing.views import Document
from config.instants import instant_text

# One try more doubles the wait, up to an hour: the last is about ten hours after the first.
ATTEMPTS_MAX: Final = 18
FIRST_WAIT_S: Final = 5
WAIT_S_MAX: Final = 3600
# What a look takes up at most; the rest waits for the next.
OPENED_MAX: Final = 500
# Longer than a try takes. After a crash in the middle of one it is made again then.
CLAIM_S: Final = 60

_outbox, _delivery = tables.outbox.c, tables.delivery.c
_unopened = (
    select(_outbox.id, _outbox.account)
    .outerjoin(tables.delivery, _delivery.notification == _outbox.id)
    .where(_outbox.sent_at.is_(None), _delivery.notification.is_(None))
    .order_by(_outbox.id)
    .limit(OPENED_MAX)
)
_close = update(tables.outbox).where(_outbox.id == bindparam("which")).values(sent_at=bindparam("now"))
# What is due over a channel, the least tried first: what a receiver that never answers was sent before lets others by.
_first = (_delivery.attempts, _outbox.id)
_ranked = (
    select(
        tables.outbox,
        _delivery.channel,
        _delivery.attempts,
        tables.account.c.state,
        func.row_number().over(partition_by=_outbox.account, order_by=_first).label("place"),
    )
    .join(tables.delivery, _delivery.notification == _outbox.id)
    .join(tables.account, tables.account.c.id == _outbox.account)
    .where(_outbox.sent_at.is_(None), _delivery.ended_at.is_(None), _delivery.next_at <= bindparam("now"))
    .where(
        # Each receiver is a channel of its own: `webhook`, `webhook:4f1c…`.
        or_(_delivery.channel == bindparam("over"), _delivery.channel.like(bindparam("others"))),
    )
    .where(_outbox.account.not_in(bindparam("busy", expanding=True)))
    .subquery()
)
_due = (
    select(_ranked)
    .where(_ranked.c.place <= bindparam("of_account"))
    .order_by(_ranked.c.attempts, _ranked.c.id)
    .limit(bindparam("most"))
)
_claim = (
    update(tables.delivery)
    .where(_delivery.notification == bindparam("which"), _delivery.channel == bindparam("by"))
    .values(next_at=bindparam("until"))
)


def due(
    connection: Connection,
    channels: Mapping[str, Sequence[str]],
    now: int,
    over: str,
    most: int,
    of_account: int = 1,
    busy: Collection[str] = (),
) -> list[Document]:
    """What is to be tried now over a kind of channel: `{"key", "notification", "channel", "account", "kind", "at",
    "state", "details"}`. `details`: how the account stood then (rows.py); of an older version nothing.

    At most so many, and so many of each account; none of those that are busy. `channels` names those of each account;
    what an account without any was told stays in the store alone. The key is the same at every try: whoever receives
    one twice can tell. What is given out is claimed for `CLAIM_S`: until then, or until what it came to is noted, it is
    not given out again.
    """
    opened: list[dict[str, Any]] = []
    closed: list[dict[str, Any]] = []
    for id, account in connection.execute(_unopened).all():
        named = channels.get(account, ())
        opened += [{"notification": id, "channel": one, "attempts": 0, "next_at": now} for one in named]
        if not named:
            closed.append({"which": id, "now": now})
    ignore_rows(connection, tables.delivery, opened)
    if closed:
        connection.execute(_close, closed)
    bounds = {
        "now": now,
        "over": over,
        "others": f"{over}:%",
        "most": most,
        "of_account": of_account,
        "busy": list(busy),
    }
    found = connection.execute(_due, bounds).mappings().all()
    if found:
        connection.execute(
            _claim, [{"which": row["id"], "by": row["channel"], "until": now + CLAIM_S} for row in found]
        )
    return [
        {
            "key": f"{row['account']}-{row['id']}",
            "notification": row["id"],
            "channel": row["channel"],
            "account": row["account"],
            "kind": row["kind"],
            "at": instant_text(row["at"]),
            "state": row["state"],
            "details": json.loads(row["payload"]),
        }
        for row in found
    ]


def note(connection: Connection, notification: int, channel: str, now: int, error: str | None) -> bool:
    """What a try came to; `error` None: delivered. Returns whether the channel will be tried again."""
    which = and_(_delivery.notification == notification, _delivery.channel == channel)
    attempts = connection.execute(select(_delivery.attempts).where(which)).scalar_one() + 1
    is_over = error is None or attempts >= ATTEMPTS_MAX
    wait_s = min(WAIT_S_MAX, FIRST_WAIT_S * 2 ** (attempts - 1))
    values = {"attempts": attempts, "next_at": now + wait_s, "ended_at": now if is_over else None, "error": error}
    connection.execute(update(tables.delivery).where(which).values(**values))
    waits = select(_delivery.channel).where(_delivery.notification == notification, _delivery.ended_at.is_(None))
    if connection.execute(waits).first() is None:
        connection.execute(_close, {"which": notification, "now": now})
    return not is_over
