"""Receivers of every kind beside a good one, which gets all of its own, in time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import Engine, select, update

from billing import tables
from billing.outbox import ATTEMPTS_MAX, CLAIM_S, due
from config.money import E8
from config.schema import Settings, Smtp
from gateway.notify import channels, notifier
from gateway.notify.channels import Mailer, NotDelivered
from gateway.notify.message import Message
from gateway.notify.notifier import AT_ONCE, Notifier
from metering.database import transaction
from tests.billing.world import World, at
from tests.gateway.control.conditions import becomes

MESSAGES = 5  # for each account


@asynccontextmanager
async def raw_receiver(answer: Any) -> AsyncIterator[int]:
    """A server that answers a connection as it likes; its port. What is open at the end is closed."""
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError):
            await answer(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    for writer in writers:
        writer.transport.abort()
    server.close()


async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff" * 50_000)
    await writer.drain()


async def endless_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        await writer.drain()


async def endless_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"X-More: " + b"x" * 1000 + b"\r\n")
        await writer.drain()


async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


# By account; a port where one is asked for. The first eight filled what was looked at, and stopped everything.
BAD = {
    **{f"idna-{number}": (f"https://hooks..acme{number}.example/x", None) for number in range(8)},
    "long-label": ("https://" + "a" * 70 + ".example/x", None),
    "port-0": ("http://127.0.0.1:0/x", None),
    "no-route": ("http://240.0.0.1/x", None),
    "refused": ("http://127.0.0.1:1/x", None),
    "no-such-name": ("http://no-such-name.invalid/x", None),
    "never": ("http://127.0.0.1:{}/x", nothing),
    "never-tls": ("https://127.0.0.1:{}/x", nothing),
    "tls-garbage": ("https://127.0.0.1:{}/x", garbage),
    "garbage": ("http://127.0.0.1:{}/x", garbage),
    "endless-body": ("http://127.0.0.1:{}/x", endless_body),
    "endless-head": ("http://127.0.0.1:{}/x", endless_head),
    "redirect-loop": ("http://127.0.0.1:{}/again", redirect),
}


def settings(hooks: dict[str, str]) -> Settings:
    accounts = [
        {"id": id, "activated_at": "2024-01-01T00:00:00Z"} | ({"notify": {"webhook": url}} if url else {})
        for id, url in hooks.items()
    ]
    document = {"version": 1, "node": {"data_dir": "d"}, "accounts": accounts}
    return Settings.model_validate(document, context={"folder": Path()})


def unlike_file(made: Settings, hooks: dict[str, str]) -> Settings:
    """As an earlier, kinder check may have let them in."""
    accounts = [
        one.model_copy(update={"notify": one.notify.model_copy(update={"webhook": hooks[one.id]})})  # type: ignore[union-attr]
        for one in made.accounts
    ]
    return made.model_copy(update={"accounts": tuple(accounts)})


def owe(world: World, accounts: list[str]) -> None:
    """Some messages each, the bad ones' first."""
    with transaction(world.engine) as connection:
        for account in accounts:
            rows = [
                {"account": account, "at": at("2024-02-01 00:20"), "kind": "arrears", "payload": "{}"}
                for _ in range(MESSAGES)
            ]
            connection.execute(tables.outbox.insert(), rows)


def make_world(accounts: list[str]) -> World:
    world = World(alert_below_e8=E8)
    for id in accounts:
        world.billing.open_account(id, at("2024-01-01 00:00"), activated_at=at("2024-01-01 00:00"))
    return world


def ends(engine: Engine) -> dict[str, list[tuple[int, str | None]]]:
    query = select(tables.outbox.c.account, tables.delivery.c.attempts, tables.delivery.c.error).join(tables.delivery)
    found: dict[str, list[tuple[int, str | None]]] = {}
    with transaction(engine) as connection:
        for account, attempts, error in connection.execute(query):
            found.setdefault(account, []).append((attempts, error))
    return found


async def on_store(job: Any) -> Any:
    return job()


async def test_bad_receivers_hold_up_nobody_and_are_given_up_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(channels, "TIMEOUT_S", 0.5)
    got: list[str] = []

    async def take(request: web.Request) -> web.Response:
        got.append(request.headers["Idempotency-Key"])
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/hook", take)
    async with contextlib.AsyncExitStack() as stack:
        good = await stack.enter_async_context(TestServer(app))
        hooks = {}
        for id, (url, answer) in BAD.items():
            port = None if answer is None else await stack.enter_async_context(raw_receiver(answer))
            hooks[id] = url.format(port)
        hooks["good"] = str(good.make_url("/hook"))
        present = unlike_file(settings(dict.fromkeys(hooks, "https://hooks.acme.example/")), hooks)
        world = make_world(list(hooks))
        owe(world, list(hooks))
        one = Notifier(world.billing, lambda: present, tmp_path, on_store)
        running = asyncio.get_running_loop().create_task(one.run())
        began = time.monotonic()
        await becomes(lambda: len(got) == MESSAGES)
        # Not one after another with those that never answer: 13 of them have 5 messages each.
        assert time.monotonic() - began < 5
        await becomes(lambda: all(attempts for rows in ends(world.engine).values() for attempts, _ in rows), 30)
        running.cancel()
        await asyncio.wait({running})
        found = ends(world.engine)
        assert sorted(got) == sorted(set(got))
        assert found.pop("good") == [(1, None)] * MESSAGES
        assert found.keys() == BAD.keys()
        assert all(error for rows in found.values() for _, error in rows)

        # Their last try is written down, and told of.
        last = {"attempts": ATTEMPTS_MAX - 1, "next_at": 0}
        with transaction(world.engine) as connection:
            connection.execute(update(tables.delivery).where(tables.delivery.c.ended_at.is_(None)).values(**last))
        with caplog.at_level(logging.ERROR):
            again = Notifier(world.billing, lambda: present, tmp_path, on_store)
            async with asyncio.timeout(60):
                while tasks := await again.turn():
                    await asyncio.gather(*tasks)
            await again.close()
        assert caplog.text.count("and given up") == MESSAGES * len(BAD)
        with transaction(world.engine) as connection:
            unsent = connection.execute(select(tables.outbox).where(tables.outbox.c.sent_at.is_(None)))
            assert unsent.first() is None
    world.engine.dispose()


async def test_a_receiver_has_two_at_a_time_and_all_have_so_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "DEADLINE_S", 60)
    async with raw_receiver(nothing) as port:
        hooks = {f"a{number}": f"http://127.0.0.1:{port}/" for number in range(AT_ONCE)}
        world = make_world(list(hooks))
        owe(world, list(hooks))
        one = Notifier(world.billing, lambda: settings(hooks), tmp_path, on_store)
        begun = await one.turn()
        assert len(begun) == AT_ONCE
        assert max(one._under_way["webhook"].values()) == 2
        assert await one.turn() == []
        await one.close()
    world.engine.dispose()


def test_what_is_given_out_is_given_out_again_only_after_a_while(engine: Engine) -> None:
    """On both engines."""
    world = World(engine=engine, alert_below_e8=E8)
    owe(world, ["a"])
    ways = {"a": ["webhook", "email"]}

    def given(now: int, busy: tuple[str, ...] = ()) -> list[int]:
        with transaction(engine) as connection:
            return [one["notification"] for one in due(connection, ways, now, "webhook", 10, 2, busy)]

    assert given(1000, ("a",)) == []
    assert given(1000) == [1, 2]
    assert given(1000) == [3, 4]
    assert given(1000 + CLAIM_S - 1) == [5]
    assert given(1000 + CLAIM_S) == [1, 2]


@pytest.mark.parametrize(
    ("account", "recipient"),
    [
        ("a", "ops@acme.example\r\nBcc: all@acme.example"),
        ("a\r\nBcc: all@acme.example", "ops@acme.example"),
        ("a\nX: y", "ops@acme.example"),
    ],
)
async def test_a_name_adds_no_line_to_a_mail(account: str, recipient: str) -> None:
    """Refused before anything is said to the server, which is not there."""
    smtp = Smtp.model_validate({"host": "127.0.0.1", "port": 1, "security": "none", "sender": "gate@example.com"})
    message = Message(f"{account}-1", account, "arrears", "2024-01-31T17:00:00Z", "arrears")
    with pytest.raises(NotDelivered, match=r"ValueError$"):
        await Mailer(smtp).send(message, recipient)


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A greeting that never ends, a little at a time."""
    while not writer.is_closing():
        writer.write(b"220-wait\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("answer", [nothing, garbage, drip])
async def test_a_mail_server_that_does_not_come_to_an_end_is_given_up(
    answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "TIMEOUT_S", 0.5)
    async with raw_receiver(answer) as port:
        smtp = Smtp.model_validate(
            {"host": "127.0.0.1", "port": port, "security": "none", "sender": "gate@example.com"}
        )
        began = time.monotonic()
        with pytest.raises(NotDelivered):
            await Mailer(smtp).send(Message("a-1", "a", "arrears", "", "arrears"), "ops@acme.example")
        assert time.monotonic() - began < 5
