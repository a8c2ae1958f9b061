"""One worker and one upstream for all cases here: they are many, and each must start from rest anyway."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.data_plane import WorkerProcess, instance, service, worker
from tests.gateway.rfc.conversation import Conversation
from tests.gateway.rfc.raw_upstream import RawUpstream

BODY_MAX = 64 * 1024


@pytest.fixture(scope="package")
def raw_upstream() -> Iterator[RawUpstream]:
    upstream = RawUpstream()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="package")
def shared_worker(raw_upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    port = raw_upstream.port
    based = {"targets": [{"url": f"http://127.0.0.1:{port}/base", "weight": 1, "network": "vpc"}]}
    two = [{"url": f"http://{host}:{port}", "weight": 1, "network": "vpc"} for host in ("127.0.0.1", "localhost")]
    gone = {"targets": [{"url": "http://127.0.0.1:1", "weight": 1, "network": "vpc"}], "retries": 0}
    with worker(
        tmp_path_factory.mktemp("rfc"),
        service("a", port),
        service("root", port, hosts=["root.test"], path="/"),
        service("based", port, hosts=["based.test"], path="/", upstream=based),
        service("ws", port, protocol="websocket"),
        service("gone", port, upstream=gone),
        service("own-host", port, upstream={"preserve_host": False}),
        service("own-hosts", port, upstream={"preserve_host": False, "targets": two}),
        one=instance(body_max=BODY_MAX),
        head_timeout=20.0,
        body_timeout=20.0,
        idle_timeout=20.0,
    ) as running:
        yield running


@pytest.fixture
def talk(shared_worker: WorkerProcess, raw_upstream: RawUpstream) -> Conversation:
    raw_upstream.reset()
    return Conversation(shared_worker, raw_upstream)
