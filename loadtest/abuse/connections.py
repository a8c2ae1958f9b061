"""Attacks by connections: many, silent, or over again."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Final

from loadtest.abuse.attack import Attack, Bound, Ground, Setup, for_ever
from loadtest.abuse.others import answered_within
from loadtest.abuse.pipelines import request

if TYPE_CHECKING:
    from loadtest.abuse.stage import Stage

DESCRIPTORS: Final = 300
SILENT, SILENT_AT_ADMIN = 400, 500
HEAD_TIMEOUT_S: Final = 2
NEW_CLIENT_S_MAX: Final = 3.0 * HEAD_TIMEOUT_S  # until the silent ones have to be gone
COLLECTED_S_MAX: Final = 5.0  # counters are collected twice a second
REPLACED_S_MAX: Final = 10.0
_POLL_S: Final = 0.1

NEW_CLIENT: Final = "a new client is answered"
COLLECTED: Final = "counters go to the store"
REPLACED: Final = "a killed worker is replaced"


async def _silent(ground: Ground, number: int) -> None:
    await _say_nothing(ground, ground.entry)


async def _silent_at_admin(ground: Ground, number: int) -> None:
    await _say_nothing(ground, ground.admin)


async def _say_nothing(ground: Ground, port: int) -> None:
    """Once thrown out it stays out: others are to get in."""
    line = await ground.connect(port)
    try:
        await line.read_on()
    except OSError:
        ground.seen.cut += 1
    line.reset()
    await for_ever()


async def _scrape(ground: Ground, number: int) -> None:
    line = await ground.connect(ground.admin)
    try:
        while True:
            ground.seen.sent += 1
            await line.send(request("/metrics"))
            await line.answer()
    finally:
        line.reset()


async def _guess_token(ground: Ground, number: int) -> None:
    line = await ground.connect(ground.admin)
    try:
        while True:
            ground.seen.sent += 1
            await line.send(request("/v1/usage", f"Authorization: Bearer {ground.seen.sent:x}\r\n"))
            await line.answer()
    finally:
        line.reset()


async def _connect(ground: Ground, number: int) -> None:
    (await ground.connect()).reset()


async def _connect_and_ask(ground: Ground, number: int) -> None:
    line = await ground.connect()
    try:
        ground.seen.sent += 1
        await line.send(request())
        await line.answer()
    finally:
        line.reset()


def _new_client(stage: Stage) -> dict[str, int]:
    return answered_within(stage.entry, NEW_CLIENT_S_MAX, NEW_CLIENT)


def _collected(stage: Stage) -> dict[str, int]:
    """The victim goes on, so something is written whenever counters are collected."""
    begun_at, deadline = time.time(), time.monotonic() + COLLECTED_S_MAX
    while time.monotonic() < deadline:
        if stage.store_written_at() > begun_at:
            return {COLLECTED: 1}
        time.sleep(_POLL_S)
    return {COLLECTED: 0}


def _control_works(stage: Stage) -> dict[str, int]:
    """Also kills the worker."""
    noted = _collected(stage)
    os.kill(stage.worker, signal.SIGKILL)
    return {**noted, **answered_within(stage.entry, REPLACED_S_MAX, REPLACED)}


CONNECTIONS: Final[tuple[Attack, ...]] = (
    Attack(
        "silent-connections",
        f"{SILENT} silent connections, where {DESCRIPTORS} descriptors are all there are",
        _silent,
        connections=SILENT,
        setup=Setup(client={"head_timeout": f"{HEAD_TIMEOUT_S}s"}, descriptors=DESCRIPTORS),
        probe=_new_client,
        bounds=(Bound(NEW_CLIENT, least=1),),
    ),
    Attack(
        "admin-silent",
        f"{SILENT_AT_ADMIN} silent connections to the admin address; then the worker is killed",
        _silent_at_admin,
        connections=SILENT_AT_ADMIN,
        setup=Setup(descriptors=DESCRIPTORS),
        probe=_control_works,
        bounds=(Bound(COLLECTED, least=1), Bound(REPLACED, least=1)),
        kills_worker=True,
    ),
    Attack(
        "scrape-flood",
        "16 connections that ask for /metrics without a pause",
        _scrape,
        connections=16,
        probe=_collected,
        bounds=(Bound(COLLECTED, least=1),),
    ),
    Attack(
        "token-guesses",
        "16 connections that guess the admin token",
        _guess_token,
        connections=16,
        probe=_collected,
        bounds=(Bound(COLLECTED, least=1),),
    ),
    Attack("connect-flood", "connects and closes, as fast as possible", _connect),
    Attack("connect-and-ask", "a connection for each request, as fast as possible", _connect_and_ask, connections=64),
)
