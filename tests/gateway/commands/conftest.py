"""The command line, run in this process: on a store, and against an admin API."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.admin.app import AdminServer, make_app
from gateway.commands.app import make_app as make_commands
from gateway.commands.app import run
from gateway.commands.finding import Finder
from gateway.main import open_store
from tests.gateway.admin.desk import TOKEN, DeskNode
from tests.gateway.control.conditions import free_port
from tests.gateway.control.configuration import write_config


class Outcome(NamedTuple):
    code: int
    out: str
    errors: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Tollgate = Callable[..., Outcome]


@pytest.fixture
def bare(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tollgate:
    """The command line as it is, without a node's address."""
    monkeypatch.delenv("TOLLGATE_ADMIN", raising=False)
    monkeypatch.delenv("TOLLGATE_ADMIN_TOKEN", raising=False)

    def tollgate(*arguments: str) -> Outcome:
        code = run(make_commands(Finder(open_store), {}), arguments)
        return Outcome(code, *capsys.readouterr())

    return tollgate


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[str]:
    """The admin API of a node, on a loop and thread of its own: its URL."""
    node = DeskNode(tmp_path)
    loop = asyncio.new_event_loop()
    server = AdminServer(make_app(node, TOKEN))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(server.start("127.0.0.1", free_port()), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        node.close()


@pytest.fixture(params=["store", "node"])
def tollgate(
    request: pytest.FixtureRequest, bare: Tollgate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Tollgate:
    """The same commands, on the store and over the admin API."""
    if request.param == "store":
        config = str(write_config(tmp_path))
        return lambda *arguments: bare(*arguments, "-c", config)
    url = request.getfixturevalue("remote")
    monkeypatch.setenv("TOLLGATE_ADMIN_TOKEN", TOKEN)
    return lambda *arguments: bare(*arguments, "--admin", url)
