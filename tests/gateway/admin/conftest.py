from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from gateway.admin.app import make_app
from tests.gateway.admin.desk import TOKEN, DeskNode


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DeskNode]:
    node = DeskNode(tmp_path)
    yield node
    node.close()


@pytest.fixture
async def stranger(node: DeskNode) -> AsyncIterator[TestClient]:
    """A client without a token."""
    async with TestClient(TestServer(make_app(node, TOKEN))) as client:
        yield client


@pytest.fixture
async def client(node: DeskNode) -> AsyncIterator[TestClient]:
    """A client that bears the token."""
    fields = {"Authorization": f"Bearer {TOKEN}"}
    async with TestClient(TestServer(make_app(node, TOKEN)), headers=fields) as client:
        yield client
