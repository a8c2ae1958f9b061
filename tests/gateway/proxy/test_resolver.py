"""Names into addresses: remembered, asked for anew in the background, and kept when the resolver is away."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.proxy.resolver import (
    AGE_S_MAX,
    REFRESH_AFTER_S,
    RETRY_AFTER_S,
    SKIP_S,
    Addresses,
    Resolver,
    literal_address,
)


def v4(*hosts: str) -> Addresses:
    return tuple((int(socket.AF_INET), host) for host in hosts)


class Names:
    """A name server of the test's making, and a clock."""

    def __init__(self) -> None:
        self.answer: Addresses | OSError = v4("192.0.2.1")
        self.asked = 0
        self.now_s = 1000.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.resolver = Resolver(self.look_up, lambda: self.now_s)

    async def look_up(self, host: str) -> Addresses:
        self.asked += 1
        await self.gate.wait()
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer

    async def get(self) -> Addresses:
        return await self.resolver.addresses("a.example")


@pytest.mark.parametrize(
    "host, address",
    [
        pytest.param("127.0.0.1", ((socket.AF_INET, "127.0.0.1"),), id="IPv4"),
        pytest.param("::1", ((socket.AF_INET6, "::1"),), id="IPv6"),
        pytest.param("fe80::1%eth0", ((socket.AF_INET6, "fe80::1%eth0"),), id="with a zone"),
        pytest.param("a.example", (), id="a name"),
    ],
)
def test_an_address_is_not_asked_for(host: str, address: Addresses) -> None:
    assert literal_address(host) == address


async def test_many_dials_at_once_ask_once() -> None:
    names = Names()
    names.gate.clear()
    waiting = [asyncio.ensure_future(names.get()) for _ in range(50)]
    await asyncio.sleep(0)
    names.gate.set()
    assert set(await asyncio.gather(*waiting)) == {v4("192.0.2.1")}
    assert names.asked == 1


async def test_a_young_answer_is_used_and_an_older_one_refreshed_behind_it() -> None:
    names = Names()
    await names.get()
    names.now_s += REFRESH_AFTER_S - 1
    await names.get()
    assert names.asked == 1
    names.answer = v4("192.0.2.2")
    names.now_s += 1
    assert await names.get() == v4("192.0.2.1")  # not waited for
    await asyncio.sleep(0)
    assert await names.get() == v4("192.0.2.2")
    assert names.asked == 2


async def test_a_change_reaches_every_dial_within_the_age() -> None:
    names = Names()
    await names.get()
    names.answer = v4("192.0.2.2")
    names.now_s += AGE_S_MAX
    assert await names.get() == v4("192.0.2.2")


async def test_the_last_answer_serves_on_when_the_resolver_fails() -> None:
    names = Names()
    await names.get()
    names.answer = OSError("no name server")
    names.now_s += AGE_S_MAX * 10
    assert await names.get() == v4("192.0.2.1")
    asked = names.asked
    assert await names.get() == v4("192.0.2.1")
    assert names.asked == asked  # left alone for a while
    names.answer = v4("192.0.2.3")
    names.now_s += RETRY_AFTER_S
    assert await names.get() == v4("192.0.2.3")


async def test_a_name_that_never_resolved_is_an_error_and_not_asked_for_by_each_dial() -> None:
    names = Names()
    names.answer = OSError("no such name")
    for _ in range(5):
        with pytest.raises(OSError, match="no such name"):
            await names.get()
    assert names.asked == 1
    names.now_s += RETRY_AFTER_S
    names.answer = v4("192.0.2.1")
    assert await names.get() == v4("192.0.2.1")


async def test_all_addresses_have_their_turns_of_whichever_family() -> None:
    names = Names()
    names.answer = (*v4("192.0.2.1", "192.0.2.2"), (int(socket.AF_INET6), "2001:db8::1"))
    first = [(await names.get())[0][1] for _ in range(6)]
    assert first == ["192.0.2.1", "192.0.2.2", "2001:db8::1"] * 2
    assert {len(await names.get()) for _ in range(6)} == {3}


async def test_one_family_has_its_turns_among_its_own() -> None:
    names = Names()
    names.answer = (*v4("192.0.2.1"), (int(socket.AF_INET6), "2001:db8::1"), *v4("192.0.2.2"))
    found = [await names.resolver.addresses("a.example", socket.AF_INET) for _ in range(4)]
    assert found == [v4("192.0.2.1", "192.0.2.2"), v4("192.0.2.2", "192.0.2.1")] * 2


async def test_a_dead_address_comes_last_for_a_while_and_then_one_dial_tries_it() -> None:
    names = Names()
    one, other = v4("192.0.2.1", "192.0.2.2")
    names.answer = (one, other)
    await names.get()
    names.resolver.failed("a.example", one)
    assert {await names.get() for _ in range(4)} == {(other, one)}
    names.now_s += SKIP_S
    first = [(await names.get())[0] for _ in range(4)]
    assert first.count(one) == 1
    names.resolver.answered("a.example", one)
    assert [(await names.get())[0] for _ in range(4)].count(one) == 2


async def test_of_dead_addresses_alone_all_are_tried() -> None:
    names = Names()
    names.answer = v4("192.0.2.1", "192.0.2.2")
    for address in await names.get():
        names.resolver.failed("a.example", address)
    assert set(await names.get()) == set(v4("192.0.2.1", "192.0.2.2"))


async def test_what_is_current_is_asked_for_anew_without_a_dial() -> None:
    names = Names()
    assert names.resolver.current("a.example") == ()
    await names.get()
    names.answer = v4("192.0.2.2")
    names.now_s += REFRESH_AFTER_S
    assert names.resolver.current("a.example") == v4("192.0.2.1")
    await asyncio.sleep(0)
    assert names.resolver.current("a.example") == v4("192.0.2.2")


async def test_a_name_that_no_target_has_is_forgotten() -> None:
    names = Names()
    await names.get()
    names.resolver.keep_only(set())
    names.answer = v4("192.0.2.9")
    assert await names.get() == v4("192.0.2.9")


async def test_the_systems_resolver_knows_localhost() -> None:
    found = await Resolver().addresses("localhost")
    assert {address for _, address in found} & {"127.0.0.1", "::1"}


async def test_a_label_that_is_too_long_is_no_traceback() -> None:
    with pytest.raises(OSError):
        await Resolver().addresses("x" * 70 + ".example")
