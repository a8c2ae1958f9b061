"""The worker around the request path: swaps of large snapshots go on between requests."""

import asyncio
from pathlib import Path

from gateway.limits.table import LimitTable
from gateway.proxy.router_builder import RouterBuilder
from gateway.proxy.target_book import TargetBook
from gateway.snapshot_file import Piece, SnapshotFile, encode
from gateway.worker import FREEZE_SERVICES, Worker
from tests.gateway.data_plane import Raw, instance, no_quotas, service, worker
from tests.node import until

SERVICES = 1000


class _Bare(Worker):
    """A worker's slicing, without its sockets and files."""

    def __init__(self, builder: RouterBuilder) -> None:
        self._builder = builder
        self._services_frozen = 0


async def test_the_loop_turns_many_times_while_a_large_snapshot_is_built(tmp_path: Path) -> None:
    path = tmp_path / "1.json"
    routes = [{"id": f"r{n}", "methods": ["GET"], "path": f"/r{n}", "limit": None} for n in range(20)]
    path.write_bytes(
        encode(1, 100, {"one": instance()}, (Piece.of(service(f"s{n}", 1, routes=routes)) for n in range(SERVICES)))
    )
    table = LimitTable.create(tmp_path / "lim")
    bare = _Bare(RouterBuilder(table, 1, lambda *_: 0, TargetBook(lambda *_: None), no_quotas()))
    turns, is_done = 0, False

    async def count() -> None:
        nonlocal turns
        while not is_done:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    await asyncio.sleep(0)
    router = await bare._in_slices(bare._builder.build(SnapshotFile(path)))
    is_done = True
    await counting
    assert router.find(b"x", b"/s999") is not None
    assert turns > 5, "in one piece it is one turn"
    assert bare._builder.services_made == SERVICES
    assert SERVICES - bare._services_frozen < SERVICES, f"frozen every {FREEZE_SERVICES}"


def test_a_snapshot_is_swapped_under_traffic_and_a_broken_one_leaves_the_one_before(tmp_path: Path) -> None:
    with worker(tmp_path, service("a", 1, upstream={"retries": 0})) as running, Raw(running.port) as client:
        get = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
        assert client.send(get).answer()[0] == 502
        running.apply([service(f"s{n}", 1) for n in range(300)], {"one": instance()})
        assert client.send(get).answer()[0] == 404
        assert client.send(get.replace(b"/a", b"/s299")).answer()[0] == 502
        running.snapshot = tmp_path / "broken.json"
        running.snapshot.write_bytes(b"{}\n")
        running.channel.sendall(
            b'{"do":"snapshot","path":"%b","version":9}\n' % str(running.snapshot).encode()
            + b'{"do":"targets","down":[["s299","http://127.0.0.1:1"]]}\n'
        )
        until(
            lambda: client.send(get.replace(b"/a", b"/s299")).answer()[0] == 503, "it serves on, and hears what follows"
        )
