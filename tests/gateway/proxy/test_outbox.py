"""What is written when, and in which order, and what a connection that is gone does to the others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest
import uvloop

from gateway.proxy.outbox import SMALL_BYTES, TOGETHER_MAX, Outbox

LARGE = bytes(SMALL_BYTES + 1)


def _nothing() -> None: ...


class Written(asyncio.Transport):
    """Writes down what it is given, and to whom, in the order of all."""

    def __init__(self, name: str, order: list[tuple[str, bytes]]) -> None:
        super().__init__()
        self._name, self._order = name, order
        self.is_lost = False
        self.before_write: Callable[[], None] = _nothing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.is_lost:
            raise RuntimeError("the handle is closed")
        self.before_write()
        self._order.append((self._name, bytes(data)))


@pytest.fixture
def order() -> list[tuple[str, bytes]]:
    return []


@pytest.fixture
async def outbox() -> Outbox:
    return Outbox(asyncio.get_running_loop())


async def test_small_writes_leave_when_the_turn_has_ended_in_their_order(
    outbox: Outbox, order: list[tuple[str, bytes]]
) -> None:
    one, other = Written("one", order), Written("other", order)
    outbox.write(one, b"1")
    outbox.write(other, b"2")
    outbox.write(one, b"3")
    assert order == []
    await asyncio.sleep(0)
    assert order == [("one", b"1"), ("other", b"2"), ("one", b"3")]
    outbox.write(one, b"4")
    await asyncio.sleep(0)
    assert order[3:] == [("one", b"4")]


async def test_what_is_large_is_not_held_and_leaves_behind_what_came_before(
    outbox: Outbox, order: list[tuple[str, bytes]]
) -> None:
    one = Written("one", order)
    outbox.write(one, LARGE[1:])
    outbox.write(one, LARGE)
    outbox.write(one, b"after")
    assert order == [("one", LARGE[1:]), ("one", LARGE)]
    outbox.flush()
    assert order[2:] == [("one", b"after")]
    await asyncio.sleep(0)
    assert len(order) == 3, "nothing leaves twice"


async def test_no_more_wait_together_than_the_bound(outbox: Outbox, order: list[tuple[str, bytes]]) -> None:
    one, texts = Written("one", order), [b"%d" % number for number in range(TOGETHER_MAX)]
    for text in texts:
        assert not order
        outbox.write(one, text)
    assert [text for _, text in order] == texts


async def test_a_connection_that_was_lost_meanwhile_costs_the_others_nothing(
    outbox: Outbox, order: list[tuple[str, bytes]]
) -> None:
    lost, other = Written("lost", order), Written("other", order)
    for one in (lost, other, lost, other):
        outbox.write(one, b"x")
    lost.is_lost = True
    await asyncio.sleep(0)
    assert order == [("other", b"x")] * 2


async def test_who_is_written_to_may_write_itself_and_that_leaves_after_what_waited(
    outbox: Outbox, order: list[tuple[str, bytes]]
) -> None:
    one, other = Written("one", order), Written("other", order)
    answers = [b"from the callback"]
    one.before_write = lambda: outbox.write(other, answers.pop()) if answers else None
    outbox.write(one, b"1")
    outbox.write(other, b"2")
    await asyncio.sleep(0)
    assert order == [("one", b"1"), ("other", b"2")]
    await asyncio.sleep(0)
    assert order[2:] == [("other", b"from the callback")]


async def test_where_turns_have_few_each_leaves_at_once_until_it_is_looked_again(
    outbox: Outbox, order: list[tuple[str, bytes]]
) -> None:
    one = Written("one", order)
    for turns in range(1, 100):
        outbox.write(one, b"x")
        if len(order) == turns:
            break
        await asyncio.sleep(0)
    assert 1 < turns < 99, "one in each turn, until one did not wait for its end"
    outbox.look_again()
    before = len(order)
    outbox.write(one, b"x")
    assert len(order) == before, "it waits for the turn's end again"
    await asyncio.sleep(0)


async def test_where_turns_have_many_they_go_on_together(outbox: Outbox, order: list[tuple[str, bytes]]) -> None:
    one = Written("one", order)
    for turn in range(100):
        for _ in range(5):
            outbox.write(one, b"x")
        assert len(order) == 5 * turn
        await asyncio.sleep(0)


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.Transport, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    try:
        yield transport, theirs
    finally:
        transport.abort()
        theirs.close()


def test_on_the_workers_loop_a_transport_that_was_aborted_in_this_turn_does_no_harm() -> None:
    """What the loop does once a handle is closed: the error is the transport's, and the next one is written to."""

    async def run() -> bytes:
        loop = asyncio.get_running_loop()
        outbox = Outbox(loop)
        async with connected() as (lost, _), connected() as (other, reader):
            lost.abort()
            await asyncio.sleep(0.01)
            with pytest.raises(RuntimeError):
                lost.write(b"x")  # Else this test shows nothing.
            outbox.write(lost, b"to nobody")
            outbox.write(other, b"hello")
            return await loop.sock_recv(reader, 100)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == b"hello"


def test_on_the_workers_loop_writes_leave_before_anything_else_is_read() -> None:
    """Two are ready in one turn: neither has its answer while the other is read; in the next turn both have."""

    async def run() -> list[bool]:
        loop = asyncio.get_running_loop()
        outbox = Outbox(loop)
        was_there: list[bool] = []
        asked: list[socket.socket] = []
        two, all_three = asyncio.Event(), asyncio.Event()

        class Answering(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.transport = cast(asyncio.Transport, transport)

            def data_received(self, data: bytes) -> None:
                was_there.append(any(_has_come(one) for one in asked))
                outbox.write(self.transport, b"answer")
                if len(was_there) == 2:
                    two.set()
                elif len(was_there) == 3:
                    all_three.set()

        transports = []
        for _ in range(3):
            ours, theirs = socket.socketpair()
            asked.append(theirs)
            transports.append((await loop.create_connection(Answering, sock=ours))[0])
        asked[0].send(b"x")
        asked[1].send(b"x")
        await two.wait()
        asked[2].send(b"x")
        await all_three.wait()
        for transport, theirs in zip(transports, asked, strict=True):
            transport.abort()
            theirs.close()
        return was_there

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == [False, False, True]


def _has_come(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False
