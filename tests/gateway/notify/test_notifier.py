"""The outbox to a real SMTP server and a real HTTP receiver: once each, signed, again after failures, and given up."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from billing import tables
from billing.outbox import ATTEMPTS_MAX, CLAIM_S, FIRST_WAIT_S
from billing.service import Billing
from config.money import E8
from config.schema import Settings
from gateway.notify.channels import SIGNATURE_FIELD, signature
from gateway.notify.notifier import Notifier
from metering.database import transaction
from tests.billing.world import World, at
from tests.gateway.notify.mail_server import PASSWORD, Inbox, mail_server

SECRET = "hush"


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    async with mail_server() as made:
        yield made


class Receiver:
    """Answers with the statuses it was given, then with 204."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204)


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    one = Receiver()
    app = web.Application()
    app.router.add_post("/hook", one.take)
    async with TestServer(app) as server:
        yield one, str(server.make_url("/hook"))


def settings(email: str | None = None, webhook: str | None = None, port: int = 25) -> Settings:
    smtp = {"host": "127.0.0.1", "port": port, "security": "none", "sender": "tollgate@example.com", "user": "tollgate"}
    account = {"id": "a", "activated_at": "2024-01-01T00:00:00Z", "notify": {"email": email, "webhook": webhook}}
    return Settings.model_validate(
        {"version": 1, "node": {"data_dir": "d"}, "smtp": smtp, "accounts": [account]}, context={"folder": Path()}
    )


async def on_store(job: Callable[[], Any]) -> Any:
    return job()


@pytest.fixture
def notifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Settings], Notifier]]:
    monkeypatch.setenv("TOLLGATE_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("TOLLGATE_SMTP_PASSWORD", PASSWORD)
    world = World(alert_below_e8=E8)

    def make(present: Settings) -> Notifier:
        made = Notifier(world.billing, lambda: present, tmp_path, on_store)
        made.world = world  # type: ignore[attr-defined]
        return made

    yield make
    world.engine.dispose()


async def turn(notifier: Notifier) -> int:
    """How many were delivered."""
    return sum(await asyncio.gather(*await notifier.turn()))


def owe(world: World) -> None:
    """An alert and arrears."""
    world.count("2024-02-01 00:10", 10_000)
    world.billing.note_event("a", at("2024-02-01 00:20"))
    world.settle("2024-02-01 01:00")


def deliveries(billing: Billing) -> list[Any]:
    with transaction(billing.engine) as connection:
        return list(connection.execute(tables.delivery.select().order_by(tables.delivery.c.notification)).all())


async def test_mail_and_webhook_are_sent_once_each(
    notifier: Any, inbox: Inbox, receiver: tuple[Receiver, str], caplog: pytest.LogCaptureFixture
) -> None:
    one = notifier(settings("ops@acme.example", receiver[1], inbox.port))
    owe(one.world)
    with caplog.at_level(logging.DEBUG):
        assert await turn(one) == 4
        assert await turn(one) == 0
        await one.close()
    assert sorted((sender, to, mail["Subject"], mail["Message-ID"]) for sender, to, mail in inbox.mails) == [
        (sender, ["ops@acme.example"], f"[tollgate] a: the balance is below {what}", id)
        for sender, what, id in (
            ("tollgate@example.com", "your threshold", "<a-1@example.com>"),
            ("tollgate@example.com", "zero", "<a-2@example.com>"),
        )
    ]
    bodies = sorted(body for _, body in receiver[0].got)
    assert bodies == [
        b'{"id":"a-1","type":"balance_alert","account":"a","at":"2024-01-31T16:20:00Z","account_state":"arrears"}',
        b'{"id":"a-2","type":"arrears","account":"a","at":"2024-01-31T17:00:00Z","account_state":"arrears"}',
    ]
    for fields, body in receiver[0].got:
        stamp = int(fields[SIGNATURE_FIELD].partition(",")[0].removeprefix("t="))
        assert abs(stamp - time.time()) < 60
        digest = hmac.new(SECRET.encode(), b"%d.%b" % (stamp, body), hashlib.sha256).hexdigest()
        assert fields[SIGNATURE_FIELD] == f"t={stamp},v1={digest}" == signature(SECRET, stamp, body)
        assert fields["Idempotency-Key"] in body.decode()
    assert SECRET not in caplog.text and PASSWORD not in caplog.text


async def test_a_failure_is_tried_again_later_with_the_same_key(
    notifier: Any, receiver: tuple[Receiver, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = notifier(settings(webhook=receiver[1]))
    one.world.billing.note_event("a", at("2024-02-01 00:20"))
    receiver[0].statuses = [500, 302]
    now = int(time.time())
    for wait_s, delivered in ((0, 0), (FIRST_WAIT_S - 1, 0), (FIRST_WAIT_S, 0), (3 * FIRST_WAIT_S + 1, 1)):
        monkeypatch.setattr(time, "time", lambda wait_s=wait_s: now + wait_s)
        assert await turn(one) == delivered
    await one.close()
    assert {fields["Idempotency-Key"] for fields, _ in receiver[0].got} == {"a-1"}
    assert len(receiver[0].got) == 3
    [row] = deliveries(one.world.billing)
    assert (row.attempts, row.error) == (3, None)


async def test_what_nobody_takes_is_given_up_and_holds_nothing_up(
    notifier: Any, receiver: tuple[Receiver, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail server that is not there: its channel ends with the reason, the webhook was delivered meanwhile."""
    one = notifier(settings("ops@acme.example", receiver[1], port=1))
    one.world.billing.note_event("a", at("2024-02-01 00:20"))
    now = int(time.time())
    for number in range(ATTEMPTS_MAX + 2):
        monkeypatch.setattr(time, "time", lambda number=number: now + number * 4000)
        await turn(one)
    await one.close()
    assert len(receiver[0].got) == 1
    mail, hook = sorted(deliveries(one.world.billing), key=lambda row: row.channel)
    assert (mail.attempts, hook.attempts, hook.error) == (ATTEMPTS_MAX, 1, None)
    assert mail.error.startswith("127.0.0.1:1: ") and mail.ended_at
    with transaction(one.world.engine) as connection:
        assert connection.execute(tables.outbox.select()).one().sent_at is not None


async def test_without_a_channel_a_notification_stays_in_the_store_and_is_not_sent_when_one_comes(
    notifier: Any, receiver: tuple[Receiver, str]
) -> None:
    one = notifier(settings())
    one.world.billing.note_event("a", at("2024-02-01 00:20"))
    assert await turn(one) == 0
    later = notifier(settings(webhook=receiver[1]))
    assert await turn(later) == 0
    assert one.world.document()["notifications"][0]["kind"] == "balance_alert"


async def test_a_channel_that_left_the_file_is_no_loss_of_the_others(
    notifier: Any, receiver: tuple[Receiver, str]
) -> None:
    one = notifier(settings(webhook=receiver[1]))
    one.world.billing.note_event("a", at("2024-02-01 00:20"))
    # Claimed by a node that died over it, a minute ago.
    one.world.billing.due_notifications({"a": ["webhook"]}, int(time.time()) - CLAIM_S, "webhook", 5)
    one._settings = lambda: settings()
    assert await turn(one) == 0
    [row] = deliveries(one.world.billing)
    assert row.error == "the channel is configured no more"


def test_the_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    from gateway.control.secret_file import open_secret

    path = tmp_path / "data" / "webhook.secret"
    made = open_secret(path, "TOLLGATE_NO_SUCH", {})
    assert open_secret(path, "TOLLGATE_NO_SUCH", {}) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert open_secret(path, "TOLLGATE_NO_SUCH", {"TOLLGATE_NO_SUCH": "other"}) == "other"
