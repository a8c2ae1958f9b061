"""Probes over real sockets: what is asked, what is well, how often, and by which address."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from config.schema import Health, UpstreamTls
from gateway.control.probes import InTurn, Prober, _is_well
from gateway.control.target_health import Key, TargetHealth, Watched
from gateway.proxy.resolver import Addresses, Resolver
from tests.gateway.control.conditions import becomes, free_port

QUICK = Health(path="/healthz", interval="100ms", failures=2, successes=2)  # type: ignore[arg-type]  (as in a file)


class Origin:
    """Counts probes and answers them as told."""

    def __init__(self) -> None:
        self.status = 200
        self.heads: list[str] = []
        self.peers: list[str] = []
        self.at_once = self.at_once_max = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            self.peers.append(writer.get_extra_info("peername")[0])
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head.decode())
            await self.gate.wait()
            writer.write(b"HTTP/1.1 %d Whatever\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n" % self.status)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.at_once -= 1
            writer.close()


@asynccontextmanager
async def origin(tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[Origin]:
    made = Origin()
    server = await asyncio.start_server(made.serve, "127.0.0.1", port, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.gate.set()
        server.close()
        await server.wait_closed()


class Probing:
    def __init__(self) -> None:
        self.down: list[Key] = []
        self.changes = 0
        self.health = TargetHealth(self._publish)
        self.prober = Prober(self.health)

    def _publish(self, down: Sequence[Key]) -> None:
        self.down = list(down)
        self.changes += 1

    def follow(self, *watched: Watched) -> None:
        self.prober.follow(watched)


@pytest.fixture
async def probing() -> AsyncIterator[Probing]:
    made = Probing()
    yield made
    await made.prober.close()


def target(
    port: int, health: Health | None = QUICK, *, base: str = "http://127.0.0.1", path: str = "", **more: str
) -> Watched:
    tls = UpstreamTls(**{key: value for key, value in more.items() if key != "egress_ip"})  # type: ignore[arg-type]
    return Watched("s", f"{base}:{port}{path}", more.get("egress_ip"), tls, health)


async def test_a_target_goes_down_and_comes_back_by_its_answers(probing: Probing) -> None:
    async with origin() as one:
        probing.follow(target(one.port))
        await becomes(lambda: len(one.heads) >= 3)
        assert probing.changes == 0
        one.status = 500
        await becomes(lambda: probing.down == [("s", f"http://127.0.0.1:{one.port}")])
        one.status = 302  # Well, and not followed.
        await becomes(lambda: probing.down == [])
    assert all(head.startswith("GET /healthz HTTP/1.1\r\n") for head in one.heads)


@pytest.mark.parametrize(
    "rules, well, ill",
    [
        (None, [200, 204, 302, 399], [199, 400, 404, 500]),
        (200, [200], [204, 302, 500]),
        ("2xx", [200, 204], [302, 404]),
        (["2xx", 401], [200, 401], [302, 400, 404]),
    ],
)
def test_which_answers_are_well(rules: object, well: list[int], ill: list[int]) -> None:
    health = Health() if rules is None else Health(status=rules)  # type: ignore[arg-type]
    assert [status for status in well + ill if _is_well(status, health)] == well


async def test_a_virtual_host_is_asked_by_its_name(probing: Probing) -> None:
    async with origin() as one:
        query = Health(path="/healthz?deep=1&x=%20", interval="100ms")  # type: ignore[arg-type]
        probing.follow(target(one.port, query)._replace(host="orders.example.com"))
        await becomes(lambda: one.heads)
    assert one.heads[0].startswith("GET /healthz?deep=1&x=%20 HTTP/1.1\r\nHost: orders.example.com\r\n")


async def test_each_probe_begins_with_the_next_address_of_a_name() -> None:
    async def look_up(host: str) -> Addresses:
        return (2, "127.0.0.1"), (10, "::1"), (2, "127.0.0.2")

    async def asked(egress_ip: str | None) -> list[list[str]]:
        in_turn = InTurn(Resolver(look_up), egress_ip)
        return [[found["host"] for found in await in_turn.resolve("a.example", 80)] for _ in range(3)]

    assert [hosts[0] for hosts in await asked("192.0.2.1")] == ["127.0.0.1", "127.0.0.2", "127.0.0.1"]
    assert [hosts[0] for hosts in await asked(None)] == ["127.0.0.1", "::1", "127.0.0.2"]


async def test_a_target_by_its_name_is_probed(probing: Probing) -> None:
    async with origin() as one:
        probing.follow(target(one.port, base="http://localhost"))
        await becomes(lambda: len(one.heads) >= 2)
    assert f"Host: localhost:{one.port}\r\n" in one.heads[0]


async def test_a_target_that_refuses_is_down_and_comes_back_when_it_listens(probing: Probing) -> None:
    port = free_port()
    probing.follow(target(port))
    await becomes(lambda: probing.down)
    async with origin(port=port):
        await becomes(lambda: not probing.down)


async def test_a_path_in_the_url_is_put_before_the_probes(probing: Probing) -> None:
    async with origin() as one:
        probing.follow(target(one.port, path="/base/"))
        await becomes(lambda: one.heads)
    assert one.heads[0].startswith("GET /base/healthz HTTP/1.1\r\n")


async def test_a_target_that_never_answers_is_down(probing: Probing) -> None:
    async with origin() as one:
        one.gate.clear()
        probing.follow(target(one.port))
        await becomes(lambda: probing.down)


async def test_probes_follow_the_configuration(probing: Probing) -> None:
    async with origin() as one, origin() as other:
        probing.follow(target(one.port), target(other.port, None))
        await becomes(lambda: len(one.heads) >= 2)
        assert other.heads == []
        probing.follow(target(other.port, Health(path="/other", interval="100ms")))  # type: ignore[arg-type]
        await becomes(lambda: len(other.heads) >= 2)
        asked = len(one.heads)
        await becomes(lambda: len(other.heads) >= 6)
        assert len(one.heads) <= asked + 1  # one may have been under way
        assert "/other" in other.heads[-1]


async def test_a_change_elsewhere_leaves_a_probe_in_its_rhythm(probing: Probing) -> None:
    """Else a node whose configuration changes often would never probe a slow one."""
    slow = Health(interval="1s")  # type: ignore[arg-type]
    async with origin() as one:
        for number in range(200):
            probing.follow(target(one.port, slow), target(1, None, path=f"/{number}"))
            await asyncio.sleep(0.01)
            if one.heads:
                break
        assert one.heads, "200 changes over 2 s, and never a probe"


async def test_probes_come_from_the_egress_address(probing: Probing) -> None:
    async with origin() as one:
        probing.follow(target(one.port, egress_ip="127.0.0.2"))
        await becomes(lambda: one.peers)
    assert set(one.peers) == {"127.0.0.2"}


async def test_probes_verify_certificates_as_requests_do(probing: Probing, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("orders.internal").configure_cert(context)
    known = {"ca": str(tmp_path / "ca.pem"), "server_name": "orders.internal"}
    async with origin(context) as good, origin(context) as unknown:
        probing.follow(
            target(good.port, base="https://127.0.0.1", **known), target(unknown.port, base="https://127.0.0.1")
        )
        await becomes(lambda: len(good.heads) >= 2)
        await becomes(lambda: probing.down == [("s", f"https://127.0.0.1:{unknown.port}")])
        assert unknown.heads == []


async def test_so_many_at_once_and_no_more(probing: Probing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing.prober, "_at_once", asyncio.Semaphore(5))
    async with origin() as one:
        one.gate.clear()
        probing.follow(*(target(one.port, path=f"/{number}") for number in range(40)))
        await becomes(lambda: one.at_once == 5)
        one.gate.set()
        await becomes(lambda: len({head.split()[1] for head in one.heads}) == 40)
    assert one.at_once_max <= 5 + 1  # a closed one may not have been seen to close


async def test_closing_ends_every_task_and_every_connection() -> None:
    made = Probing()
    async with origin() as one:
        one.gate.clear()
        made.follow(*(target(one.port, path=f"/{number}") for number in range(10)))
        await becomes(lambda: one.at_once > 0)
        await made.prober.close()
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("probe ")]
        await becomes(lambda: one.at_once == 0 or not one.gate.is_set())
