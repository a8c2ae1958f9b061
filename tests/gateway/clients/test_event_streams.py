"""Server-sent events: the next one is sent only when this one was seen, so an event held back anywhere is a failure."""

from __future__ import annotations

import asyncio
import subprocess

import aiohttp
import httpx
import requests

from tests.gateway.clients.conftest import Gateway
from tests.gateway.clients.origin import Origin
from tests.installed import needed

COUNT = 25
EVENTS = [f"data: event {number}" for number in range(COUNT)]


def test_requests_sees_each_event_before_the_next_is_sent(gateway: Gateway, origin: Origin) -> None:
    seen = []
    with requests.get(f"{gateway.url}/a/events/{COUNT}", stream=True, timeout=10) as answer:
        for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
            if line:
                seen.append(line)
                origin.step()
    assert seen == EVENTS
    gateway.adds_up()


def test_httpx_does(gateway: Gateway, origin: Origin) -> None:
    seen = []
    with httpx.stream("GET", f"{gateway.url}/a/events/{COUNT}", timeout=10, trust_env=False) as answer:
        for line in answer.iter_lines():
            if line:
                seen.append(line)
                origin.step()
    assert seen == EVENTS
    gateway.adds_up()


async def test_aiohttp_does(gateway: Gateway, origin: Origin) -> None:
    seen = []
    timeout = aiohttp.ClientTimeout(sock_read=10)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"{gateway.url}/a/events/{COUNT}") as answer,
    ):
        async for line in answer.content:
            if line.strip():
                seen.append(line.decode().strip())
                origin.step()
    assert seen == EVENTS
    await asyncio.to_thread(gateway.adds_up)


def test_curl_does(gateway: Gateway, origin: Origin) -> None:
    seen = []
    with subprocess.Popen(
        [needed("curl"), "-sSN", "--noproxy", "*", "--max-time", "20", f"{gateway.url}/a/events/{COUNT}"],
        stdout=subprocess.PIPE,
        text=True,
    ) as curl:
        assert curl.stdout is not None
        for line in curl.stdout:
            if line.strip():
                seen.append(line.strip())
                origin.step()
    assert (curl.returncode, seen) == (0, EVENTS)
    gateway.adds_up()


def test_an_http_1_0_client_does(gateway: Gateway, origin: Origin) -> None:
    """No chunks for it: the end of the stream is the end of the connection."""
    seen = []
    with subprocess.Popen(
        [needed("curl"), "-sSN0", "--noproxy", "*", "--max-time", "20", f"{gateway.url}/a/events/{COUNT}"],
        stdout=subprocess.PIPE,
        text=True,
    ) as curl:
        assert curl.stdout is not None
        for line in curl.stdout:
            if line.strip():
                seen.append(line.strip())
                origin.step()
    assert (curl.returncode, seen) == (0, EVENTS)
    gateway.adds_up()
