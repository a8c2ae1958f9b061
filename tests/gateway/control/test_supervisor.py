"""The supervisor with real sockets and real processes; the worker in them is fake_worker.py."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.control.errors import StartError
from gateway.control.pools import Entry, PoolSpec
from gateway.control.run_files import RunFiles
from gateway.control.supervisor import Supervisor
from gateway.control.worker_process import Snapshot
from tests.gateway.control.conditions import ask, becomes, free_port

FAKE_WORKER = [sys.executable, str(Path(__file__).with_name("fake_worker.py"))]


class Bench:
    """A supervisor over fake workers on a data_dir of its own."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.gone: list[str] = []
        self.run_files = RunFiles(data_dir)
        self.supervisor = Supervisor(FAKE_WORKER, "node-1:b00t", self.run_files, self.gone.append)

    def spec(self, port: int, pool: str = "shared", **changes: Any) -> PoolSpec:
        spec = PoolSpec(
            pool=pool,
            entries=(Entry("127.0.0.1", port, "internet"),),
            workers=2,
            data_dir=self.data_dir,
            limits=self.data_dir / "limits",
            clock={},
            client={},
            trusted_proxies=(),
            drain_s=0.5,
        )
        return replace(spec, **changes)

    def publish(self, version: int, pool: str = "shared", **steering: bool) -> None:
        path = self.data_dir / f"{pool}-{version}.json"
        path.write_text(json.dumps({"version": version, **steering}))
        self.supervisor.publish({pool: Snapshot(version, path)})

    def pids(self, pool: str = "shared") -> set[int]:
        return {slot["pid"] for slot in self.supervisor.pools()[pool] if slot["is_serving"]}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.supervisor.kill()
    await bench.supervisor.drain()


async def test_a_killed_worker_is_replaced_within_a_second_and_counted(bench: Bench) -> None:
    port = free_port()
    bench.publish(1)
    await bench.supervisor.apply([bench.spec(port)])
    victim, survivor = sorted(bench.pids())

    os.kill(victim, signal.SIGKILL)
    await becomes(lambda: victim not in bench.pids() and len(bench.pids()) == 2, deadline_s=1.0)

    assert survivor in bench.pids()
    assert bench.supervisor.restarts == {"shared": 1}
    assert len(bench.gone) == 1
    assert (await ask(port))[0] in bench.pids()


async def test_connections_in_the_queue_of_a_dead_worker_are_answered_by_its_successor(bench: Bench) -> None:
    port = free_port()
    bench.publish(1)
    await bench.supervisor.apply([bench.spec(port, workers=1)])
    (victim,) = bench.pids()

    os.kill(victim, signal.SIGSTOP)
    waiting = [asyncio.ensure_future(ask(port)) for _ in range(5)]
    await asyncio.sleep(0)
    os.kill(victim, signal.SIGKILL)

    answers = await asyncio.gather(*waiting)
    await becomes(lambda: bench.pids())
    assert {pid for pid, _ in answers} == bench.pids() != {victim}


async def test_a_worker_that_keeps_crashing_is_restarted_ever_later(bench: Bench) -> None:
    bench.publish(1, crash=True)
    start = asyncio.ensure_future(bench.supervisor.apply([bench.spec(free_port(), workers=1)]))
    await becomes(lambda: bench.supervisor.restarts["shared"] >= 4)
    loop = asyncio.get_running_loop()
    began_at, before = loop.time(), bench.supervisor.restarts["shared"]
    await becomes(lambda: bench.supervisor.restarts["shared"] == before + 1)
    assert loop.time() - began_at > 0.2

    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start


async def test_a_published_snapshot_is_applied_by_every_worker(bench: Bench) -> None:
    port = free_port()
    bench.publish(1)
    await bench.supervisor.apply([bench.spec(port)])
    bench.publish(2)
    assert await bench.supervisor.applied(5.0)
    assert bench.supervisor.is_serving()
    assert (await ask(port))[1] == 2


async def test_a_worker_that_does_not_apply_a_snapshot_is_noticed(bench: Bench) -> None:
    bench.publish(1, deaf=True)
    await bench.supervisor.apply([bench.spec(free_port())])
    bench.publish(2)
    assert not await bench.supervisor.applied(0.2)
    assert not bench.supervisor.is_serving()


async def test_a_changed_pool_is_replaced_without_a_refused_connection(bench: Bench) -> None:
    port = free_port()
    bench.publish(1)
    await bench.supervisor.apply([bench.spec(port)])
    old = bench.pids()
    failures: list[Exception] = []
    answers: set[int] = set()
    done = asyncio.Event()

    async def call_all_along() -> None:
        while not done.is_set():
            try:
                answers.add((await ask(port))[0])
            except (OSError, ValueError) as error:
                failures.append(error)

    caller = asyncio.ensure_future(call_all_along())
    await bench.supervisor.apply([bench.spec(port, client={"head_timeout": 1.0})])
    await becomes(lambda: len(bench.gone) == 2)
    fresh = bench.pids()
    await becomes(lambda: answers & fresh)
    done.set()
    await caller

    assert not fresh & old
    assert failures == []


async def test_an_unchanged_pool_keeps_its_workers_when_another_is_added(bench: Bench) -> None:
    shared, own = bench.spec(free_port()), bench.spec(free_port(), pool="acme-dedicated", workers=1)
    bench.publish(1)
    await bench.supervisor.apply([shared])
    before = bench.pids()
    bench.publish(1, pool="acme-dedicated")
    await bench.supervisor.apply([shared, own])
    assert bench.pids() == before
    assert len(bench.pids("acme-dedicated")) == 1

    await bench.supervisor.apply([shared])
    await becomes(lambda: len(bench.gone) == 1)
    assert set(bench.supervisor.pools()) == {"shared"}
    with pytest.raises(ConnectionRefusedError):
        await ask(own.entries[0].port)


async def test_an_address_in_use_is_refused_and_changes_nothing(bench: Bench) -> None:
    bench.publish(1)
    spec = bench.spec(free_port())
    await bench.supervisor.apply([spec])
    before = bench.pids()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = int(other.getsockname()[1])
        with pytest.raises(StartError, match=f"127.0.0.1:{taken}"):
            await bench.supervisor.apply([replace(spec, entries=(Entry("127.0.0.1", taken, "internet"),))])
    assert bench.pids() == before
    assert (await ask(spec.entries[0].port))[0] in before


async def test_a_restart_replaces_every_worker_one_at_a_time_and_refuses_no_connection(bench: Bench) -> None:
    port, own = free_port(), free_port()
    bench.publish(1)
    bench.publish(1, pool="own")
    await bench.supervisor.apply([bench.spec(port), bench.spec(own, pool="own", workers=1)])
    old = bench.pids() | bench.pids("own")
    failures: list[Exception] = []
    served_least = [len(bench.pids())]
    done = asyncio.Event()

    async def call_all_along() -> None:
        while not done.is_set():
            served_least.append(len(bench.pids()))
            try:
                await ask(port)
                await ask(own)
            except (OSError, ValueError) as error:
                failures.append(error)

    caller = asyncio.ensure_future(call_all_along())
    await bench.supervisor.restart()
    await becomes(lambda: len(bench.gone) == 3)
    done.set()
    await caller

    assert not (bench.pids() | bench.pids("own")) & old
    assert (len(bench.pids()), len(bench.pids("own"))) == (2, 1)
    assert min(served_least) == 2
    assert failures == []
    assert not bench.supervisor.restarts, "nobody died"


async def test_a_second_restart_waits_for_the_workers_that_the_first_left(bench: Bench) -> None:
    """So that a slot has two workers at the most: the limits reckon with that many."""
    bench.publish(1, stubborn=True)
    await bench.supervisor.apply([bench.spec(free_port(), workers=1)])
    await bench.supervisor.restart()
    assert bench.gone == []
    await bench.supervisor.restart()
    assert len(bench.gone) == 1


async def test_a_restart_whose_fresh_worker_does_not_start_keeps_the_old_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.control.supervisor._START_S_MAX", 1.0)
    port = free_port()
    bench.publish(1)
    await bench.supervisor.apply([bench.spec(port)])
    old = bench.pids()
    bench.publish(2, crash=True)
    with pytest.raises(StartError, match="fresh worker of shared"):
        await bench.supervisor.restart()
    assert bench.pids() == old
    assert (await ask(port))[0] in old


async def test_a_drain_during_a_restart_leaves_no_worker_behind(bench: Bench) -> None:
    bench.publish(1)
    await bench.supervisor.apply([bench.spec(free_port())])
    restart = asyncio.ensure_future(bench.supervisor.restart())
    await becomes(lambda: len(list((bench.data_dir / "run" / "workers").glob("*.json"))) > 2)
    await bench.supervisor.drain()
    await restart
    assert len(bench.gone) == len(list((bench.data_dir / "run" / "workers").glob("*.json")))


async def test_a_drain_ends_every_worker_and_kills_a_stubborn_one(bench: Bench) -> None:
    bench.publish(1, stubborn=True)
    await bench.supervisor.apply([bench.spec(free_port())])
    pids = bench.pids()
    await asyncio.wait_for(bench.supervisor.drain(), 6.0)
    assert len(bench.gone) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_started_worker_is_found_by_its_run_file(bench: Bench) -> None:
    bench.publish(1)
    await bench.supervisor.apply([bench.spec(free_port(), workers=1)])
    (predecessor,) = RunFiles(bench.data_dir).predecessors()
    assert {predecessor.pid} == bench.pids()
    assert predecessor.writer.startswith("node-1:b00t:shared-0:")


async def test_a_snapshot_published_while_a_worker_starts_is_not_missed(bench: Bench) -> None:
    """Between the fork and the open channel there is an instant in which nothing can be said."""
    bench.publish(1)
    start = asyncio.ensure_future(bench.supervisor.apply([bench.spec(free_port(), workers=1)]))
    for _ in range(1000):
        await asyncio.sleep(0)  # one turn of the loop
        if list((bench.data_dir / "run" / "workers").glob("*.json")):
            break
    bench.publish(2)
    await start
    assert await bench.supervisor.applied(5.0)


async def test_a_worker_that_cannot_be_watched_does_not_stay_and_is_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of descriptors just then: one that nobody knows of would serve for ever."""
    open_pidfd, tried = os.pidfd_open, []

    def no_descriptor_at_first(pid: int, *arguments: int) -> int:
        tried.append(pid)
        if len(tried) <= 2:
            raise OSError(24, "Too many open files")
        return open_pidfd(pid, *arguments)

    monkeypatch.setattr(os, "pidfd_open", no_descriptor_at_first)
    bench.publish(1)
    await bench.supervisor.apply([bench.spec(free_port(), workers=1)])
    assert bench.pids() == {tried[2]}
    for pid in tried[:2]:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
