"""The node's log under floods: one line a second of each kind, nothing of it lost from count."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.bounded_log import KINDS_MAX, OneASecond
from tests.gateway.data_plane import Raw, service, worker
from tests.gateway.proxy.test_access_log import get
from tests.node import free_port, until


class Log(logging.Handler):
    """Keeps what passes the bound."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 100.0
        self.bound = OneASecond(lambda: self.now_s)
        self.addFilter(self.bound)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def log() -> Iterator[Log]:
    made = Log()
    root = logging.getLogger()
    root.addHandler(made)
    yield made
    root.removeHandler(made)


def test_a_flood_of_one_kind_is_a_line_a_second_with_the_count_of_the_rest(log: Log) -> None:
    for number in range(3000):
        log.now_s = 100.0 + number / 1000
        logging.getLogger("tollgate.upstream").warning("target %s is gone", number)
    assert log.lines == [
        "target 0 is gone",
        "target 1000 is gone (999 more like it were left out)",
        "target 2000 is gone (999 more like it were left out)",
    ]
    log.bound.tell()
    assert log.lines[3:] == ["999 more lines were left out, as this one: target 2999 is gone"]


def test_kinds_do_not_hold_up_each_other(log: Log) -> None:
    """What the loop tells of in one place is told apart by its words, and not by addresses in it."""
    asyncio_log = logging.getLogger("asyncio")
    for number in range(100):
        for text in ("socket.send() raised exception.", f"SSL error in data received\nprotocol: 0x{number:x}"):
            asyncio_log.warning(text)
    assert log.lines == ["socket.send() raised exception.", "SSL error in data received\nprotocol: 0x0"]


def test_texts_that_a_peer_makes_up_are_bounded_too(log: Log) -> None:
    for number in range(10_000):
        name = "".join(chr(97 + int(digit)) for digit in str(number))
        logging.getLogger("some.library").warning(f"no such thing as {name} {'x' * 10_000}")
    assert len([line for line in log.lines if "left out" not in line]) <= KINDS_MAX + 1
    assert len(log.lines) <= 2 * (KINDS_MAX + 1), "and once the count of each"
    assert all(len(line) < 4096 for line in log.lines)


def test_what_is_no_warning_and_what_is_of_the_nodes_own_steps_is_told_each_time(log: Log) -> None:
    logger = logging.getLogger("gateway.control.control")
    for number in range(5):
        logger.error("fault %d", number)
    logger = logging.getLogger("tollgate.entry")
    logger.setLevel(logging.INFO)
    for _ in range(5):
        logger.info("serves")
    logger.setLevel(logging.NOTSET)
    assert log.lines == [f"fault {number}" for number in range(5)] + ["serves"] * 5


def test_what_nothing_follows_is_told_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    bound = OneASecond()
    caplog.handler.addFilter(bound)
    try:
        for _ in range(3):
            logging.getLogger("x").warning("again")
        until(lambda: "2 more lines were left out, as this one: again" in caplog.text, "the count", 10)
    finally:
        caplog.handler.removeFilter(bound)


def test_upstreams_that_refuse_by_the_hundred_do_not_fill_the_log(tmp_path: Path) -> None:
    services = [service(f"s{number}", free_port(), upstream={"retries": 0}) for number in range(40)]
    with worker(tmp_path, *services) as running:
        began_s = time.monotonic()
        with Raw(running.port) as client:
            for _ in range(6):  # The last one takes each target out, which is a line too.
                for number in range(40):
                    assert client.send(get(f"/s{number}/x")).answer()[0] in (502, 503)
        until(lambda: "left out" in running.log.read_text(), "the count", 10)
        running.drain()
        seconds = time.monotonic() - began_s
        lines = running.log.read_text().splitlines()
        assert len(lines) <= 2 * (seconds + 2), "two kinds"
