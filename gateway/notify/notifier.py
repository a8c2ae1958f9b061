"""Sends what waits in the outbox, again and again until it is received or given up (RULES C.5, B49).

Nothing here is inside a money transaction: the store is asked on its thread, the sending is on the loop, and what it
came to is written down on the thread again. A crash in between sends once more, under the same key.
Each delivery is a task of its own: what fails, fails for itself, and who is slow is waited for by nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from config.schema import Notify, Settings
from gateway.control.errors import Refusal
from gateway.control.ports import Biller
from gateway.control.secret_file import open_secret
from gateway.notify.channels import Mailer, NotDelivered, Webhooks
from gateway.notify.message import Message
from gateway.notify.receivers import CHANNELS, kind_of, receivers

_log = logging.getLogger(__name__)
T = TypeVar("T")

WEBHOOK_SECRET: Final = "TOLLGATE_WEBHOOK_SECRET"  # noqa: S105  (the variable's name)
# How often the outbox is looked at, how many are on their way at once over a channel, and how many to one receiver.
INTERVAL_S: Final = 1.0
PAUSE_S: Final = 0.05  # at least, though one on its way has ended and there is room
AT_ONCE: Final = 32
AT_ONCE_TO_ONE: Final = 2
# Of a try, whatever it is busy with: longer than the channels' own, which tell what they waited for.
DEADLINE_S: Final = 15.0

OnStore = Callable[[Callable[[], Any]], Awaitable[Any]]


class Notifier:
    """``on_store`` runs a job on the store's thread, or raises Refusal; ``settings`` gives the present ones."""

    def __init__(self, biller: Biller, settings: Callable[[], Settings], data_dir: Path, on_store: OnStore) -> None:
        self._biller = biller
        self._settings = settings
        self._on_store = on_store
        self._webhooks = Webhooks(open_secret(data_dir / "webhook.secret", WEBHOOK_SECRET))
        self._tasks: set[asyncio.Task[bool]] = set()
        self._has_ended = asyncio.Event()
        self._under_way: dict[str, Counter[str]] = {channel: Counter() for channel in CHANNELS}  # by account

    async def run(self) -> None:
        """Until it is cancelled. A store that is away fails a turn; the next tries again."""
        try:
            while True:
                try:
                    await self.turn()
                except Refusal as refusal:
                    _log.warning("notifications wait: %s", refusal)
                except Exception:
                    _log.exception("notifications wait: the store failed")
                self._has_ended.clear()
                await asyncio.sleep(PAUSE_S)
                # Not `wait_for`: it may take a cancellation for the event's.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(INTERVAL_S):
                        await self._has_ended.wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Tries under way end here, and are made again by the next node under the same key."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._webhooks.close()

    async def turn(self) -> list[asyncio.Task[bool]]:
        """Begin to try what is due and has room; the tries, each of which says whether it was delivered."""
        settings, now = self._settings(), int(time.time())
        ways = {account.id: account.notify for account in settings.accounts if account.notify is not None}
        channels = {id: list(receivers(notify)) for id, notify in ways.items()}
        begun = []
        for over in CHANNELS:
            under_way = self._under_way[over]
            room = AT_ONCE - under_way.total()
            if room <= 0:
                continue
            look = partial(self._biller.due_notifications, channels, now, over, room, AT_ONCE_TO_ONE, list(under_way))
            due = await self._on_store(look)
            begun += [self._begin(one, ways.get(one["account"]), settings) for one in due]
        return begun

    def _begin(self, one: dict[str, Any], ways: Notify | None, settings: Settings) -> asyncio.Task[bool]:
        under_way, account = self._under_way[kind_of(one["channel"])], one["account"]
        under_way[account] += 1

        def ended(task: asyncio.Task[bool]) -> None:
            self._tasks.discard(task)
            self._has_ended.set()
            under_way[account] -= 1
            if not under_way[account]:
                del under_way[account]

        name = f"notify {one['key']} over {one['channel']}"
        task = asyncio.get_running_loop().create_task(self._try(one, ways, settings), name=name)
        self._tasks.add(task)
        task.add_done_callback(ended)
        return task

    async def _try(self, one: dict[str, Any], ways: Notify | None, settings: Settings) -> bool:
        error = await self._fault(one, ways, settings)
        try:
            again = await self._on_store(
                lambda: self._biller.note_delivery(one["notification"], one["channel"], int(time.time()), error)
            )
        except Exception as failure:
            _log.error("what became of %s over %s is not noted, and it is sent again: %s",
                       one["key"], one["channel"], failure)  # fmt: skip
            return False
        if error is not None:
            level = logging.WARNING if again else logging.ERROR
            _log.log(level, "%s over %s is not delivered%s: %s", one["key"], one["channel"],
                     "" if again else ", and given up", error)  # fmt: skip
        return error is None

    async def _fault(self, one: dict[str, Any], ways: Notify | None, settings: Settings) -> str | None:
        """Send it once. What went wrong, or None: whatever it is, it is this delivery's alone."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await self._send(one, ways, settings)
        except NotDelivered as failure:
            return str(failure)
        except Exception as failure:
            return type(failure).__name__

    async def _send(self, one: dict[str, Any], ways: Notify | None, settings: Settings) -> str | None:
        receiver = None if ways is None else receivers(ways).get(one["channel"])
        if ways is None or receiver is None:
            return "the channel is configured no more"
        message = Message(
            one["key"],
            one["account"],
            one["kind"],
            one["at"],
            one["state"],
            one["details"],
            ways.language,
            settings.billing.timezone,
        )
        if kind_of(one["channel"]) == "webhook":
            await self._webhooks.send(message, receiver, int(time.time()))
        elif settings.smtp is not None:
            await Mailer(settings.smtp).send(message, receiver)
        else:
            return "the channel is configured no more"
        return None
