"""Whatever is asked of the admin API, it is answered, and never with a 5xx: on a real office, on each store.

`TOLLGATE_TEST_INPUTS=10000` asks as many; `TOLLGATE_TEST_SEED` chooses others.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from config.instants import instant_text
from gateway.admin.app import make_app
from tests.gateway.admin.desk import TOKEN, DeskNode
from tests.gateway.admin.random_inputs import RandomInputs

INPUTS = int(os.environ.get("TOLLGATE_TEST_INPUTS", "400"))
SEED = int(os.environ.get("TOLLGATE_TEST_SEED", "1"))


@pytest.fixture
def node(tmp_path: Path, url: str) -> Iterator[DeskNode]:
    node = DeskNode(tmp_path, store=url, cash="1000000.00")
    yield node
    node.close()


async def exchange(server: TestServer, message: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        content = await reader.readexactly(int(fields.get(b"content-length", b"0")))
        return int(head.split(b" ", 2)[1]), content
    finally:
        writer.close()


async def test_no_input_is_answered_with_a_failure(node: DeskNode) -> None:
    now = node.store.clock.now() - 3600
    inputs = RandomInputs(SEED, instant_text(int(now)))
    failures: list[str] = []
    statuses: dict[int, int] = {}
    async with TestServer(make_app(node, TOKEN)) as server:
        for _ in range(INPUTS):
            what, message = inputs.request(TOKEN)
            status, content = await exchange(server, message)
            statuses[status] = statuses.get(status, 0) + 1
            if status >= 500:
                failures.append(f"{what}: {status} {content!r}")
        # And what it was asked has not spoilt what others are shown.
        node.store.biller.settle(now + 2 * 3600, lambda hour: True)
        for name in ("accounts", "bills", "instances", "packs", "orders", "settlements", "usage", "reconciliation"):
            path = f"/v1/{name}"
            asked = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
            status, content = await exchange(server, asked)
            if status != 200:
                failures.append(f"afterwards {path}: {status} {content!r}")
    print(f"seed {SEED}, {INPUTS} inputs: {dict(sorted(statuses.items()))}")
    assert not failures, f"seed {SEED}: {len(failures)} of {INPUTS}:\n" + "\n".join(failures[:20])
    assert statuses.get(201, 0) > INPUTS // 50, "too few of them are accepted to say much"
