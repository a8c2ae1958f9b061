"""Sends what waits in the outbox, again and again until it is received or given up (RULES C.5, B49).

Nothing here is inside a money transaction: the store is asked on its thread, the sending is on the loop, and what it
came to is written down on the thread again. A crash in between sends once more, under the same key.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from config.schema import Notify, Settings
from gateway.control.ports import Biller
from gateway.control.secret_file import open_secret
from gateway.notify.channels import Mailer, NotDelivered, Webhooks
from gateway.notify.message import Message

_log = logging.getLogger(__name__)
T = TypeVar("T")

WEBHOOK_SECRET: Final = "TOLLGATE_WEBHOOK_SECRET"  # noqa: S105  (the variable's name)
# How often the outbox is looked at, and how many are on their way at once.
INTERVAL_S: Final = 1.0
AT_ONCE: Final = 8

OnStore = Callable[[Callable[[], Any]], Awaitable[Any]]


class Notifier:
    """``on_store`` runs a job on the store's thread; ``settings`` gives the present ones."""

    def __init__(self, biller: Biller, settings: Callable[[], Settings], data_dir: Path, on_store: OnStore) -> None:
        self._biller = biller
        self._settings = settings
        self._on_store = on_store
        self._webhooks = Webhooks(open_secret(data_dir / "webhook.secret", WEBHOOK_SECRET))

    async def run(self) -> None:
        """Until it is cancelled. A store that is away fails a turn; the next tries again."""
        try:
            while True:
                try:
                    await self.turn()
                except Exception:
                    _log.exception("notifications wait: the store failed")
                await asyncio.sleep(INTERVAL_S)
        finally:
            await self._webhooks.close()

    async def turn(self) -> int:
        """Try what is due once. Returns how many were delivered."""
        settings, now = self._settings(), int(time.time())
        ways = {account.id: account.notify for account in settings.accounts if account.notify is not None}
        channels = {id: _channels(notify) for id, notify in ways.items()}
        due = await self._on_store(lambda: self._biller.due_notifications(channels, now, AT_ONCE))
        if not due:
            return 0
        outcomes = await asyncio.gather(*(self._try(one, ways.get(one["account"]), settings, now) for one in due))
        return sum(outcomes)

    async def _try(self, one: dict[str, Any], ways: Notify | None, settings: Settings, now: int) -> bool:
        message = Message(one["key"], one["account"], one["kind"], one["at"], one["state"])
        error = None
        try:
            if one["channel"] == "email" and ways is not None and ways.email and settings.smtp is not None:
                await Mailer(settings.smtp).send(message, ways.email)
            elif one["channel"] == "webhook" and ways is not None and ways.webhook:
                await self._webhooks.send(message, ways.webhook, now)
            else:
                error = "the channel is configured no more"
        except (NotDelivered, OSError) as failure:
            error = str(failure)
        again = await self._on_store(
            lambda: self._biller.note_delivery(one["notification"], one["channel"], int(time.time()), error)
        )
        if error is not None:
            level = logging.WARNING if again else logging.ERROR
            _log.log(level, "%s over %s is not delivered%s: %s", one["key"], one["channel"],
                     "" if again else ", and given up", error)  # fmt: skip
        return error is None


def _channels(notify: Notify) -> Sequence[str]:
    return [name for name in ("email", "webhook") if getattr(notify, name)]
