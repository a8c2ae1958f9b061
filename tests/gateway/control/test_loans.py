"""A slot without a worker: whoever is in its queue is served by the pool's others, at once."""

import asyncio
import os
import signal
import threading
import time
from pathlib import Path

from tests.gateway.control.conditions import ask, becomes, free_port
from tests.gateway.control.configuration import config_text
from tests.gateway.control.test_supervisor import Bench, bench  # noqa: F401  (a fixture)
from tests.node import free_port as port_of_machine
from tests.node import node, origin, until

ANSWERED_S = 1.0


async def asked_in_time(port: int) -> int:
    pid, _ = await asyncio.wait_for(ask(port), ANSWERED_S)
    return pid


async def test_while_one_slot_crashes_in_a_loop_every_new_connection_is_answered(bench: Bench) -> None:  # noqa: F811
    port = free_port()
    bench.publish(1)
    await bench.supervisor.apply([bench.spec(port)])
    slots = {slot["slot"]: slot["pid"] for slot in bench.supervisor.pools()["shared"]}
    bench.publish(2, crash_slot=1)
    os.kill(slots[1], signal.SIGKILL)
    await becomes(lambda: bench.supervisor.restarts["shared"] >= 5)  # by now it waits for seconds in between

    pids = [pid for _ in range(20) for pid in await asyncio.gather(*(asked_in_time(port) for _ in range(10)))]
    assert pids == [slots[0]] * 200

    bench.publish(3)
    await becomes(lambda: len(bench.pids()) == 2)
    fresh = bench.pids() - {slots[0]}
    await becomes(lambda: bench.supervisor.is_serving())
    served = {await asked_in_time(port) for _ in range(60)}
    assert served == {slots[0], *fresh}, "its own worker has the socket again"


async def test_what_a_dying_helper_was_lent_is_lent_to_another(bench: Bench) -> None:  # noqa: F811
    port = free_port()
    bench.publish(1)
    await bench.supervisor.apply([bench.spec(port, workers=3)])
    slots = {slot["slot"]: slot["pid"] for slot in bench.supervisor.pools()["shared"]}
    bench.publish(2, crash_slot=2)
    os.kill(slots[2], signal.SIGKILL)
    await becomes(lambda: bench.supervisor.restarts["shared"] >= 4)
    for number in (0, 1):
        before = bench.supervisor.pools()["shared"][number]["pid"]
        os.kill(before, signal.SIGKILL)
        await becomes(lambda old=before: len(bench.pids() - {old}) == 2)  # type: ignore[misc]
        for _ in range(40):
            await asked_in_time(port)


async def test_a_silent_worker_is_killed_replaced_and_counted(bench: Bench) -> None:  # noqa: F811
    port = free_port()
    bench.publish(1)
    await bench.supervisor.apply([bench.spec(port)])
    victim, other = sorted(bench.pids())
    os.kill(victim, signal.SIGSTOP)
    began = time.monotonic()
    waiting = [asyncio.ensure_future(ask(port)) for _ in range(40)]
    await becomes(lambda: victim not in bench.pids() and len(bench.pids()) == 2, deadline_s=15.0)
    assert 3.0 < time.monotonic() - began < 10.0
    assert victim not in {pid for pid, _ in await asyncio.gather(*waiting)}
    assert bench.supervisor.restarts == {"shared": 1}
    assert other in bench.pids()


def test_clients_of_a_real_node_wait_for_no_back_off_and_no_hung_worker(tmp_path: Path) -> None:
    ports = {name: port_of_machine() for name in ("shared", "dedicated", "admin")}
    with origin() as backend:
        text = config_text(**ports, origin=backend).replace("shared_workers: 2", "shared_workers: 3")
        text = text.replace("qps: 300", "qps: 500").replace("qps: 100", "qps: 500").replace("qps: 50}", "qps: 500}")
        with node(tmp_path, text, ports["admin"]) as running:
            hung, crashing, *_ = running.worker_pids("shared")
            sound = set(running.worker_pids("shared")) - {crashing, hung}
            done = threading.Event()

            def crash_on() -> None:
                while not done.is_set():
                    for pid in set(running.worker_pids("shared")) - sound - {hung}:
                        os.kill(pid, signal.SIGKILL)

            crasher = threading.Thread(target=crash_on)
            crasher.start()
            try:
                until(lambda: restarts(running) >= 4, "it crashes in a loop", 20)
                assert max(asyncio.run(answers(ports["shared"], 200))) < ANSWERED_S
            finally:
                done.set()
                crasher.join()
            os.kill(hung, signal.SIGSTOP)
            until(lambda: hung not in running.worker_pids("shared"), "the hung worker is killed", 10)
            assert max(asyncio.run(answers(ports["shared"], 50))) < ANSWERED_S
            assert "hangs, and is killed" in running.log.read_text()


def restarts(running: object) -> float:
    text = running.call("GET", "/metrics")[1]  # type: ignore[attr-defined]
    (line,) = [line for line in text.splitlines() if line.startswith('tollgate_worker_restarts_total{pool="shared"}')]
    return float(line.split()[-1])


async def answers(port: int, number: int) -> list[float]:
    """How long each of so many new connections took to be answered; some go at a time."""
    gate = asyncio.Semaphore(10)

    async def answer() -> float:
        async with gate:
            began = time.monotonic()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /orders/bytes/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            content = await asyncio.wait_for(reader.read(), 15)
            writer.close()
            # By its limits or by the origin: it is answered.
            assert content[:12] in (b"HTTP/1.1 200", b"HTTP/1.1 429"), content[:100]
            return time.monotonic() - began

    return await asyncio.gather(*(answer() for _ in range(number)))
