"""The outbox to a real SMTP server and a real HTTP receiver: once each, signed, again after failures, and given up."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from billing import tables
from billing.accounts import BALANCE_ALERT, NOTIFICATIONS, REOPENED
from billing.outbox import ATTEMPTS_MAX, CLAIM_S, FIRST_WAIT_S
from billing.service import Billing
from config.money import E8
from config.schema import Settings
from gateway.notify.channels import SIGNATURE_FIELD, signature
from gateway.notify.message import Message
from gateway.notify.notifier import Notifier
from gateway.notify.words import WORDS
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


def settings(email: str | None = None, webhook: str | None = None, port: int = 25, **more: Any) -> Settings:
    smtp = {"host": "127.0.0.1", "port": port, "security": "none", "sender": "tollgate@example.com", "user": "tollgate"}
    account = {
        "id": "a",
        "activated_at": "2024-01-01T00:00:00Z",
        "notify": {"email": email, "webhook": webhook, **more},
    }
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
    bodies = sorted((json.loads(body) for _, body in receiver[0].got), key=lambda body: str(body["id"]))
    common = {"account": "a", "account_state": "arrears", "currency": "USD", "threshold": "1.00000000"}
    assert bodies == [
        {"id": "a-1", "type": "balance_alert", "at": "2024-01-31T16:20:00Z", "balance": "0.00000000",
         "debt": "0.00000000", "next": None, **common},
        {"id": "a-2", "type": "arrears", "at": "2024-01-31T17:00:00Z", "balance": "-0.00890000", "debt": "0.00890000",
         "next": {"kind": "suspended", "at": "2024-02-01T17:00:01Z"}, **common},
    ]  # fmt: skip
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


async def test_every_receiver_of_an_account_is_sent_to_and_noted_by_itself(
    notifier: Any, inbox: Inbox, receiver: tuple[Receiver, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Three addresses, and two webhooks of which one is not there: that one is tried again, under its own name."""
    mails, dead = ["dev@acme.example", "cfo@acme.example", "ops@acme.example"], "http://127.0.0.1:1/token-in-the-path"
    one = notifier(settings("ops@acme.example", None, inbox.port, emails=mails, webhooks=[dead, receiver[1]]))
    one.world.billing.note_event("a", at("2024-02-01 00:20"))
    delivered = sum([await turn(one) for _ in range(4)])  # two at a time for an account
    assert delivered == 4
    assert sorted(to for _, [to], _ in inbox.mails) == ["cfo@acme.example", "dev@acme.example", "ops@acme.example"]
    assert len(receiver[0].got) == 1
    rows = deliveries(one.world.billing)
    assert [(row.channel.partition(":")[0], row.attempts) for row in rows if row.error] == [("webhook", 1)]
    assert len({row.channel for row in rows}) == 5
    await one.close()
    assert "token-in-the-path" not in caplog.text + str(rows), "names of receivers give no address away"


async def test_a_mail_is_in_the_accounts_language_and_says_what_comes_next(notifier: Any, inbox: Inbox) -> None:
    one = notifier(settings("ops@acme.example", None, inbox.port, language="zh"))
    owe(one.world)
    one.world.settle("2024-02-02 01:00:01")
    for _ in range(3):
        await turn(one)
    await one.close()
    mails = {mail["Message-ID"]: mail for _, _, mail in inbox.mails}
    suspended: Any = mails["<a-3@example.com>"]
    assert str(make_header(decode_header(suspended["Subject"]))) == "[tollgate] a: 服务已暂停"
    text = suspended.get_payload(decode=True).decode()
    for said in ("账户 a, 2024-02-02 01:00:01+08:00", "欠费金额: 0.01 USD", "2024-02-09 01:00:02+08:00"):
        assert said in text


def test_every_kind_is_told_of_in_every_language() -> None:
    kinds = {*NOTIFICATIONS.values(), REOPENED, BALANCE_ALERT}
    for words in WORDS.values():
        assert words.subjects.keys() == words.texts.keys() == kinds
        assert words.steps.keys() == {"suspended", "destroyed"}


@pytest.mark.parametrize(
    ("currency", "balance", "shown"),
    [
        ("JPY", "-1234.50000000", "-1235 JPY"),
        ("KWD", "-1.23450000", "-1.235 KWD"),
        ("USD", "-0.00000001", "-0.00000001 USD"),
        ("JPY", "0.00000000", "0 JPY"),
    ],
)
def test_money_in_a_mail_has_its_currencys_decimals(currency: str, balance: str, shown: str) -> None:
    details = {"currency": currency, "balance": balance, "debt": balance.removeprefix("-"), "threshold": None}
    message = Message("k", "a", "arrears", "2024-02-01T00:00:00Z", "arrears", {**details, "next": None})
    text = message.mail("gate@example.com", "ops@acme.example").get_content()
    assert f"Balance: {shown}\n" in text
