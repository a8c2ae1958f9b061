"""Processes that really die, and two that settle at once; on both engines (RULES C.5, C.7)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from billing.seconds import mark_hours
from billing.service import Billing
from billing.tables import create_all
from billing.upsert import insert_or_replace
from config.catalog import load_catalog
from config.money import E8, parse_e8
from config.prices import load_price_book
from metering.database import open_engine, transaction
from metering.tables import counter
from tests.billing.settler_process import HOURS, START, TOP_UP_E8
from tests.billing.world import at, count
from tests.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("TOLLGATE_TEST_KILLS", "8"))  # 500 by hand
WRITES = 3 * max(10, KILLS)  # of each writer beside settlers; by hand enough for two that wait crosswise to meet
# Rows come in the order in which they lie: no index puts them in order by chance.
WITHOUT_INDEXES = "&options=-c%20enable_indexscan%3Doff%20-c%20enable_bitmapscan%3Doff"
CLIENT = "egress:client:internet:application"


def founded(url: str) -> Billing:
    engine = open_engine(url)
    with transaction(engine) as connection:
        create_all(connection)
    billing = Billing(engine, load_price_book("usd"), load_catalog(), is_migrated=True)
    billing.open_account("a", START - 86_400)
    billing.open_shared_instance("a", "s1", "ap-guangzhou", START - 86_400)
    billing.open_shared_instance("a", "s2", "ap-hongkong", START - 86_400)
    billing.top_up("a", cash=1000 * E8, now=START - 86_400)
    billing.settle(START - 3600, lambda hour: True)
    return billing


@contextmanager
def settler(url: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.billing.settler_process", url],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.communicate(timeout=30)


def wait_for_an_hour(billing: Billing) -> None:
    """However slow the machine is, something was done before the first kill."""
    deadline = time.monotonic() + 60
    while not billing.settlements("a"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_killed_at_any_instant_every_act_is_done_once_and_every_unit_is_billed_once(url: str) -> None:
    billing = founded(url)
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    with settler(url) as process:
        assert process.stdin is not None and process.stdout is not None
        for turn in range(KILLS):
            process.stdin.write(f"{turn}\n")
            pid = int(process.stdout.readline())
            if turn == 0:
                wait_for_an_hour(billing)
            time.sleep(chance.uniform(0.05, 0.5))
            os.kill(pid, signal.SIGKILL)
            assert process.stdout.readline() == "gone\n"
            assert billing.reconcile() == [], f"seed {seed}, turn {turn}"
    last = START + HOURS * 3600
    billing.settle(last, lambda hour: True)
    assert billing.reconcile() == [], f"seed {seed}"
    again = billing.settle(last, lambda hour: True)
    assert again.settlements == 0
    hours = len({one["ref"] for one in billing.orders("a") if one["ref"].startswith("p")})
    assert hours > 0
    spent_e8 = sum(
        parse_e8(one[part], signed=True) for one in billing.orders("a") for part in ("cash", "income", "gift")
    ) + sum(parse_e8(one["cash"], signed=True) for one in billing.settlements("a"))
    [(_, _, total_e8)] = billing.balances()
    # Each hour's top-up came in once, however often its process died: the balance has no other explanation.
    top_ups = (total_e8 + spent_e8 - 1000 * E8) / TOP_UP_E8
    assert top_ups in (hours, hours + 1), f"seed {seed}"
    billing.engine.dispose()


def test_two_settlers_and_a_writer_at_once_bill_everything_once(url: str) -> None:
    billing = founded(url)
    stop = threading.Event()
    grown: dict[int, int] = {}

    def write() -> None:
        engine = open_engine(url)
        for turn in range(1, 61):
            hour = turn % 6
            grown[hour] = grown.get(hour, 0) + turn
            count(engine, f"2024-02-01 0{hour}:30", grown[hour], "calls", "s1")
            count(engine, f"2024-02-01 0{hour}:30", grown[hour] * 1000, CLIENT, "s2")
        engine.dispose()
        stop.set()

    def settle() -> int:
        engine = open_engine(url)
        own = Billing(engine, load_price_book("usd"), load_catalog(), is_migrated=True)
        settled = 0
        while not stop.is_set():
            settled += own.settle(at("2024-02-01 08:00"), lambda hour: True).settlements
        engine.dispose()
        return settled

    with ThreadPoolExecutor(3) as threads:
        jobs = [threads.submit(write), threads.submit(settle), threads.submit(settle)]
        for job in jobs:
            job.result(60)
    billing.settle(at("2024-02-01 08:00"), lambda hour: True)
    assert billing.reconcile() == []
    lines = billing.bill("a")["bills"]["2024-02"]["lines"]
    billed = {
        meter: sum(line["quantity"] for line in lines if line["meter"] == meter) for meter in ("calls", "egress_client")
    }
    assert billed == {"calls": sum(range(1, 61)), "egress_client": 1000 * sum(range(1, 61))}
    billing.engine.dispose()


def test_settlers_and_writers_of_many_accounts_do_not_wait_crosswise(url: str) -> None:
    """Each locks marks of all accounts, and shared wallets: in one order, or PostgreSQL would end one of them."""
    billing = founded(url)
    ids = [f"m{number:02d}" for number in range(24)]
    for id in ids:
        billing.open_account(id, START - 86_400, has_free_quota=False)
        billing.open_shared_instance(id, f"s-{id}", "ap-guangzhou", START - 86_400)
        billing.give_voucher(id, f"v-{id}", 10, START + 86_400, START - 86_400)
    stop = threading.Event()
    hour = START // 3600

    def write(writer: str) -> None:
        engine = open_engine(url)
        common = {"writer": writer, "region": "ap-guangzhou", "service": "x", "meter": "calls", "hour": hour}
        for turn in range(1, WRITES + 1):
            # Every other account, the others, then all: so the marks lie about in no order.
            some = ids if turn % 3 == 0 else ids[turn % 3 - 1 :: 2]
            rows = [{**common, "account": id, "instance": f"s-{id}", "value": turn} for id in some]
            with transaction(engine) as connection:
                connection.execute(insert_or_replace(connection, counter, "value"), rows)
                mark_hours(connection, {(id, hour) for id in some})
        engine.dispose()

    def settle() -> None:
        engine = open_engine(url)
        own = Billing(engine, load_price_book("usd"), load_catalog(), is_migrated=True)
        while not stop.is_set():
            own.settle(START + 3600, lambda hour: True)
        engine.dispose()

    with ThreadPoolExecutor(4) as threads:
        writers = [threads.submit(write, name) for name in ("w1", "w2")]
        settlers = [threads.submit(settle) for _ in range(2)]
        try:
            for job in writers:
                job.result(300)
        finally:
            stop.set()
        for job in settlers:
            job.result(300)
    billing.settle(START + 3600, lambda hour: True)
    assert billing.reconcile() == []
    for id in ids:
        assert sum(line["quantity"] for line in billing.bill(id)["bills"]["2024-02"]["lines"]) == 2 * WRITES
    billing.engine.dispose()


def test_marks_are_locked_in_the_order_in_which_writers_lock_them(postgres_server: PostgresServer) -> None:
    """A writer that has locked the first mark gets the second one though a settler waits for both."""
    url = postgres_server.database()
    billing = founded(url)
    billing.open_account("b", START - 86_400)
    hour = START // 3600
    for id in ("b", "a"):  # This is how they lie in the table.
        with transaction(billing.engine) as connection:
            mark_hours(connection, {(id, hour)})
    other = open_engine(url + WITHOUT_INDEXES)
    settler = Billing(other, load_price_book("usd"), load_catalog(), is_migrated=True)
    with ThreadPoolExecutor(1) as thread:
        with transaction(billing.engine) as connection:
            mark_hours(connection, {("a", hour)})
            job = thread.submit(settler.settle, START + 3600, lambda hour: True)
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            deadline = time.monotonic() + 20
            while not connection.exec_driver_sql(waiting).scalar():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            mark_hours(connection, {("b", hour)})
        assert job.result(20).settlements == 0
    other.dispose()
    billing.engine.dispose()


def test_two_processes_that_open_an_empty_store_at_once_enter_each_price_once(url: str) -> None:
    def opened() -> int:
        engine = open_engine(url)
        own = Billing(engine, load_price_book("usd"), load_catalog())
        own.settle(START, lambda hour: True)
        with transaction(engine) as connection:
            number = connection.exec_driver_sql("SELECT count(*) FROM price").scalar()
        engine.dispose()
        return int(number or 0)

    with ThreadPoolExecutor(2) as threads:
        numbers = [job.result(60) for job in [threads.submit(opened), threads.submit(opened)]]
    assert max(numbers) == 1 + len(load_price_book("usd").egress)


def test_a_lost_race_for_a_key_is_answered_like_the_first(url: str) -> None:
    """Two requests with one Idempotency-Key at the same instant: money moves once, both get the answer."""
    billing = founded(url)
    before = billing.balances()[0][2]

    def pay(_: int) -> object:
        engine = open_engine(url)
        own = Billing(engine, load_price_book("usd"), load_catalog(), is_migrated=True)
        try:
            return own.top_up("a", cash=5, now=START, idem="same")
        finally:
            engine.dispose()

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(pay, range(4)))
    assert billing.balances()[0][2] == before + 5
    assert all(answer == answers[0] for answer in answers)
    billing.engine.dispose()
