"""requests, httpx and aiohttp as clients: the three that Python programs talk HTTP/1.1 with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import aiohttp
import httpx
import pytest
import requests

from tests.gateway.clients.conftest import Gateway
from tests.gateway.clients.origin import content

PIECES = [content(size) for size in (1, 70_000, 3, 200_000)]
WHOLE = b"".join(PIECES)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        yield made


def test_requests_keeps_its_connection_over_methods_and_framings(gateway: Gateway, session: requests.Session) -> None:
    url = f"{gateway.url}/a"
    assert session.get(f"{url}/bytes/100000").content == content(100_000)
    assert session.head(f"{url}/bytes/100000").headers["content-length"] == "100000"
    assert session.get(f"{url}/chunked/100000").content == content(100_000)
    assert session.post(f"{url}/echo", data=WHOLE).content == WHOLE
    assert session.delete(f"{url}/echo").status_code == 200
    assert session.get(f"{url}/moved").content == content(10)
    assert session.get(f"{gateway.url}/none").status_code == 404
    assert gateway.connections == 1
    gateway.adds_up()


def test_requests_uploads_from_a_generator(gateway: Gateway, session: requests.Session) -> None:
    assert session.put(f"{gateway.url}/a/echo", data=iter(PIECES)).content == WHOLE
    gateway.adds_up(is_chunked=True)


def test_requests_sends_back_each_cookie_it_was_given(gateway: Gateway, session: requests.Session) -> None:
    assert [session.get(f"{gateway.url}/a/cookie").text for _ in range(2)] == ["no", "yes"]
    assert dict(session.cookies) == {"seen": "yes", "other": "1"}
    gateway.adds_up()


def test_requests_uploads_files_as_a_form(gateway: Gateway, session: requests.Session) -> None:
    answer = session.post(f"{gateway.url}/a/echo", files={"one": ("name.bin", WHOLE)}, data={"field": "ü"})
    assert WHOLE in answer.content and "ü".encode() in answer.content
    gateway.adds_up()


def test_httpx_streams_both_ways(gateway: Gateway) -> None:
    with httpx.Client(trust_env=False, base_url=f"{gateway.url}/a") as client:
        assert client.get("/bytes/100000").content == content(100_000)
        assert client.post("/echo", content=iter(PIECES)).content == WHOLE
        with client.stream("GET", "/chunked/300000") as answer:
            assert b"".join(answer.iter_bytes(1000)) == content(300_000)
    assert gateway.connections == 1
    gateway.adds_up(is_chunked=True)


async def test_httpx_asks_many_things_at_once(gateway: Gateway) -> None:
    limits = httpx.Limits(max_connections=10)
    async with httpx.AsyncClient(trust_env=False, base_url=f"{gateway.url}/a", limits=limits) as client:
        answers = await asyncio.gather(*(client.get(f"/bytes/{size}") for size in range(100)))
    assert [answer.content for answer in answers] == [content(size) for size in range(100)]
    assert gateway.counted("calls") == 100
    assert gateway.connections <= 10
    await asyncio.to_thread(gateway.adds_up)


async def test_httpx_leaves_in_the_middle_of_an_answer_and_goes_on(gateway: Gateway) -> None:
    async with httpx.AsyncClient(trust_env=False, base_url=f"{gateway.direct_url}/a") as client:
        async with client.stream("GET", "/bytes/50000000") as answer:
            async for _ in answer.aiter_bytes():
                break
        assert (await client.get("/bytes/5")).content == content(5)
    assert gateway.counted("calls") == 2


async def pieces() -> AsyncIterator[bytes]:
    for piece in PIECES:
        yield piece


async def test_aiohttp_streams_both_ways(gateway: Gateway) -> None:
    async with aiohttp.ClientSession(f"{gateway.url}/a/") as session:
        async with session.get("bytes/100000") as answer:
            assert await answer.read() == content(100_000)
        async with session.post("echo", data=pieces()) as answer:
            assert await answer.read() == WHOLE
        async with session.post("echo", data=WHOLE, expect100=True) as answer:
            assert await answer.read() == WHOLE
        async with session.get("chunked/300000") as answer:
            assert await answer.read() == content(300_000)
    assert gateway.connections == 1
    await asyncio.to_thread(gateway.adds_up, is_chunked=True)


async def test_aiohttp_talks_websocket(gateway: Gateway) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{gateway.url}/live/ws", compress=15) as socket:
        await socket.send_str("grüße")
        assert await socket.receive_str() == "grüße"
        await socket.send_bytes(WHOLE)
        assert await socket.receive_bytes() == WHOLE
    assert (gateway.counted("websocket_connections"), gateway.counted("calls")) == (1, 0)
    await asyncio.to_thread(gateway.adds_up)
