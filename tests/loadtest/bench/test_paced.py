"""The paced client against real sockets: what it asks, counts and says of a target that stalls or leaves."""

from __future__ import annotations

import select
import signal
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from loadtest.bench import paced
from loadtest.bench.heads import heads
from loadtest.bench.paced_origin import ANSWER, PacedOrigin
from loadtest.processes import free_ports
from tests.node import until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Target:
    """Answers each request on each connection with the next of ``answers``, the last again and again; b"" closes."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.asked: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.listener.getsockname()
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            while head := connection.recv(65536):
                with self._lock:
                    self.asked.append(head)
                    answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                self.gate.wait(10)
                if not answer:
                    return
                for at in range(0, len(answer), 30):  # In parts, as a network may bring it.
                    connection.sendall(answer[at : at + 30])


@contextmanager
def target(*answers: bytes) -> Iterator[Target]:
    made = Target(*answers)
    thread = threading.Thread(target=made.accept)
    thread.start()
    yield made
    made.listener.shutdown(socket.SHUT_RDWR)
    made.listener.close()
    thread.join()


@contextmanager
def held(one: Target, seconds: float) -> Iterator[None]:
    """Its first answer is held back for so long from when it was asked, however late that is."""

    def let_go() -> None:
        try:
            until(lambda: one.asked, "the first request", 10)
            time.sleep(seconds)
        finally:
            one.gate.set()

    one.gate.clear()
    thread = threading.Thread(target=let_go)
    thread.start()
    yield
    thread.join()


def test_every_request_is_asked_in_order_and_answered_once() -> None:
    asked = heads("/x", "h", 3)
    with target(OK) as one:
        outcome = paced.pace(one.address, asked, rate=1000, count=7, connections=1)
    assert one.asked == [*asked, *asked, asked[0]]
    assert (len(outcome.times_ns), len(outcome.late_ns), outcome.failed, outcome.broken) == (7, 7, 0, 0)
    assert outcome.read_bytes == 7 * len(OK)


def test_refusals_and_lost_connections_are_counted_and_the_rest_goes_on() -> None:
    with target(OK, b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", b"", OK) as one:
        outcome = paced.pace(one.address, heads("/x", "h", 1), rate=1000, count=6, connections=1)
    assert (len(outcome.times_ns), outcome.failed, outcome.broken) == (5, 1, 1)


def test_a_stall_counts_for_every_request_that_was_due_meanwhile() -> None:
    """One connection, 100 requests due within 10 ms, and an answer that is held until the last of them was due."""
    with target(OK) as one, held(one, 0.05):
        outcome = paced.pace(one.address, heads("/x", "h", 1), rate=10_000, count=100, connections=1)
    assert len(outcome.times_ns) == 100
    assert min(outcome.times_ns) >= 30_000_000  # Had time begun when each was sent, all but one would be short.


def test_how_long_the_client_did_nothing_at_all_is_its_own_and_not_the_targets() -> None:
    """A signal that takes the client's thread for 50 ms of each 100, as another program takes its CPU."""
    before = signal.signal(signal.SIGALRM, lambda *_: time.sleep(0.05))
    try:
        with target(OK) as one:
            signal.setitimer(signal.ITIMER_REAL, 0.02, 0.1)
            outcome = paced.pace(one.address, heads("/x", "h", 1), rate=1000, count=300, connections=4)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert outcome.away_ns >= 45_000_000
    assert outcome.seen(0.5).away == pytest.approx(outcome.away_ns / 5e8)
    assert max(outcome.late_ns) >= 40_000_000, "it had connections to ask on, and did not"


def test_what_waits_for_a_connection_is_late_by_the_target_and_not_by_the_client() -> None:
    with target(OK) as one, held(one, 0.1):
        outcome = paced.pace(one.address, heads("/x", "h", 1), rate=10_000, count=100, connections=1)
    assert statistics.median(outcome.times_ns) > 8 * statistics.median(outcome.late_ns)


def test_it_can_be_the_origin_of_what_it_asks() -> None:
    """Client and origin in one loop, and between them nothing: the target is the origin itself."""
    port = free_ports(1)[0]
    outcome = paced.pace(("127.0.0.1", port), heads("/x", "h", 9), rate=500, count=20, connections=3, origin_port=port)
    assert (len(outcome.times_ns), outcome.failed, outcome.broken) == (20, 0, 0)
    assert outcome.read_bytes == 20 * len(ANSWER)


def test_the_first_requests_are_asked_and_left_out_of_the_times() -> None:
    with target(OK) as one:
        outcome = paced.pace(one.address, heads("/x", "h", 3), rate=500, count=20, connections=2, warm_up=15)
    assert (len(one.asked), outcome.answered) == (20, 20)
    assert (len(outcome.times_ns), len(outcome.late_ns), outcome.broken) == (5, 5, 0)
    assert outcome.read_bytes == 5 * len(OK)


def test_the_origin_answers_each_whole_head_and_waits_for_the_rest() -> None:
    with select.epoll() as poller, closing(PacedOrigin(free_ports(1)[0], poller)) as origin:

        def serve() -> None:
            for fd, _ in poller.poll(5):
                assert origin.serve(fd)

        with socket.create_connection(origin.address) as client:
            serve()
            client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n")
            serve()
            client.sendall(b"\r\nGET / HTTP/1.1\r\n\r\n")
            serve()
            assert client.recv(65536) == ANSWER * 2
        serve()
        assert not poller.poll(0), "the closed connection is gone from the poller"
        assert not origin.serve(10_000)


@pytest.mark.parametrize(
    "share, value", [(0.5, 50), (0.99, 99), (0.995, 100), (1.0, 100), (0.0, 1)], ids=lambda value: str(value)
)
def test_percentiles_are_values_that_were_seen(share: float, value: int) -> None:
    assert paced.percentile(list(range(100, 0, -1)), share) == value
    assert paced.percentile([], share) == 0


def test_the_client_runs_as_a_process_and_says_what_it_saw() -> None:
    with target(OK) as one:
        seen = paced.run(f"http://127.0.0.1:{one.address[1]}", "/x", rate=100, seconds=0.1, connections=2)
    assert (seen.requests, seen.failed, seen.broken) == (10, 0, 0)
    assert 0 < seen.p50_ms <= seen.p99_ms


def test_where_nobody_listens_it_fails_with_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(paced.PacedFailed, match="refused"):
        paced.run(f"http://127.0.0.1:{port}", "/x", rate=100, seconds=0.1)
