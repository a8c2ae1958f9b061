"""What a running node does by itself: it notifies real receivers, and looks every day whether its store is sound."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from metering.database import open_engine, transaction
from metering.tables import counter
from tests.certificates import Authority
from tests.gateway.notify.mail_server import PASSWORD, USER, Inbox, mail_server
from tests.node import Node, free_port, node, until

# A day passes in a second.
CONFIG = """\
version: 1
node: {{name: chores, data_dir: ./data}}
entry: [{{bind: "127.0.0.1:{shared}", network: internet}}]
shared_workers: 1
admin: {{bind: "127.0.0.1:{admin}"}}
store: {{url: "sqlite:///./data/tollgate.db"}}
clock: {{rate: 86400}}
drain: 1s
smtp: {{host: localhost, port: {mail}, security: starttls, sender: gate@example.com, user: {user}}}
accounts:
  - id: acme
    currency: USD
    activated_at: "2019-11-10T17:13:14+08:00"
    free_quota: false
    opening: {{cash: "100.00"}}
    alert_below: "200.00"
    notify: {{email: ops@acme.example, webhook: "{hook}"}}
instances: [{{id: one, account: acme, type: shared, region: ap-guangzhou}}]
"""


class Receivers:
    """A mail server and a web server on a thread of their own."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.hooks: list[bytes] = []
        self._context = context
        self._stop = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._ready: Future[tuple[Inbox, str]] = Future()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        self.inbox, self.hook = self._ready.result(10)

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        async with TestServer(app) as server, mail_server(starttls=self._context) as inbox:
            self._ready.set_result((inbox, str(server.make_url("/hook"))))
            await self._stop.wait()

    async def _take(self, request: web.Request) -> web.Response:
        self.hooks.append(await request.read())
        return web.Response(status=204)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def receivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receivers]:
    folder = tmp_path_factory.mktemp("authority")
    authority = Authority(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("mail", "localhost").paths)
    made = Receivers(context)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(authority.path))
        environment.setenv("TOLLGATE_SMTP_PASSWORD", PASSWORD)
        yield made
    made.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, receivers: Receivers) -> Iterator[Node]:
    admin = free_port()
    text = CONFIG.format(admin=admin, shared=free_port(), mail=receivers.inbox.port, user=USER, hook=receivers.hook)
    with node(tmp_path_factory.mktemp("node"), text, admin) as made:
        yield made


def test_a_notification_reaches_mail_and_webhook(running: Node, receivers: Receivers) -> None:
    """The first event of the account, its opening balance, leaves less than its threshold (B53)."""
    until(lambda: receivers.inbox.mails and receivers.hooks, "both were told")
    sender, recipients, mail = receivers.inbox.mails[0]
    assert (sender, recipients) == ("gate@example.com", ["ops@acme.example"])
    assert mail["Message-ID"] == "<acme-1@example.com>"
    assert receivers.inbox.over_tls[0]
    first = orjson.loads(receivers.hooks[0])
    assert (first["id"], first["type"], first["account_state"]) == ("acme-1", "balance_alert", "active")


def findings(running: Node) -> float:
    _, text = running.call("GET", "/metrics")
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("tollgate_reconcile_findings"))


def test_a_mark_that_was_lost_is_found_within_a_day_and_billed(running: Node) -> None:
    """Usage of an hour long over that nobody marked as new: the next day's look finds it, says so, and it is billed."""
    until(lambda: findings(running) == 0, "the store was looked at")
    lost = {"writer": "w", "account": "acme", "instance": "one", "region": "ap-guangzhou", "service": "x"}
    engine = open_engine(f"sqlite:///{running.folder}/data/tollgate.db")
    with transaction(engine) as connection:
        connection.execute(counter.insert(), {**lost, "meter": "calls", "hour": 480_000, "value": 10_000})
    engine.dispose()
    until(lambda: findings(running) == 1, "it is found")
    assert "the store contradicts itself: " in running.log.read_text()
    until(lambda: running.call("GET", "/v1/settlements?account=acme")[1]["items"], "it is billed")
    [bill] = running.call("GET", "/v1/settlements?account=acme")[1]["items"]
    assert (bill["hour"], bill["amount"]) == ("2024-10-04T00:00:00Z", "0.00890000")
    until(lambda: findings(running) == 0, "the next day nothing is found")
