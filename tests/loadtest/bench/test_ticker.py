"""The timer of the paced client, by the kernel's clock."""

from __future__ import annotations

import select
import time
from contextlib import closing

import pytest

from loadtest.bench.ticker import Ticker


def test_it_is_ready_after_an_interval_and_not_again_before_the_next() -> None:
    begun_ns = time.monotonic_ns()
    with closing(Ticker(20_000_000)) as ticker, select.epoll() as poller:
        poller.register(ticker, select.EPOLLIN)
        assert poller.poll(5) and time.monotonic_ns() - begun_ns >= 20_000_000
        ended = ticker.go_on()
        assert poller.poll(5)
        ended += ticker.go_on()
        assert ended >= 2 and time.monotonic_ns() - begun_ns >= ended * 20_000_000


def test_it_says_how_many_intervals_have_ended() -> None:
    with closing(Ticker(1_000)) as ticker:
        begun_ns = time.monotonic_ns()
        while (passed_ns := time.monotonic_ns() - begun_ns) < 2_000_000:
            pass
        assert ticker.go_on() >= passed_ns // 1_000 - 1


@pytest.mark.parametrize("interval_ns", [0, -5])
def test_no_interval_is_refused(interval_ns: int) -> None:
    with pytest.raises(ValueError, match="interval"):
        Ticker(interval_ns)
