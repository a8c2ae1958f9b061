"""What a victim makes of a node that stands still for a moment, says no, or hangs up."""

import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from loadtest.abuse.victim import LENGTH, Sample, Victim, Waiting

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LENGTH + b"x" * LENGTH
STALL_S = 0.15
REQUESTS = 20


class _Node:
    """Answers one connection at a time; the fifth request in its own way."""

    def __init__(self, fifth: str) -> None:
        self.fifth = fifth
        self.served = 0
        self.ends = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(10)  # A victim that does not come again is a failure, not a wait.
        self.port = self._listening.getsockname()[1]

    def run(self) -> None:
        while not self.ends.is_set():
            connection, _ = self._listening.accept()
            with connection:
                while not self.ends.is_set() and self._answer(connection):
                    pass
        self._listening.close()

    def _answer(self, connection: socket.socket) -> bool:
        if not connection.recv(4096):
            return False
        self.served += 1
        if self.served >= REQUESTS:
            self.ends.set()
        if self.served == 5 and self.fifth == "stall":
            time.sleep(STALL_S)  # What is measured, not a wait for a condition.
        if self.served == 5 and self.fifth == "close":
            return False
        connection.sendall(ANSWER.replace(b"200 OK", b"503 No") if self.served == 5 and self.fifth == "503" else ANSWER)
        return True


def _samples(fifth: str) -> list[Sample]:
    node = _Node(fifth)
    serving = threading.Thread(target=node.run, daemon=True)
    serving.start()
    victim = Victim(node.port, os.getpid(), is_tls=False)
    victim.run(node.ends)
    if victim._connection is not None:
        victim._connection.socket.close()
    serving.join()
    return victim.samples


def test_what_was_due_while_an_answer_was_awaited_has_its_time_and_is_not_sent() -> None:
    samples = _samples("stall")
    asked = [one for one in samples if one.is_asked]
    assert len(asked) == REQUESTS
    assert all(one.bytes_read == len(ANSWER) and not one.error for one in asked)
    at = samples.index(asked[4])
    held = [one for one in samples[at + 1 :] if not one.is_asked and one.due_s < asked[4].due_s + STALL_S]
    assert asked[4].took_ms >= STALL_S * 1e3
    assert len(held) >= 10, "one each 10 ms of 150"
    assert [one.took_ms for one in held] == sorted((one.took_ms for one in held), reverse=True)
    assert all(not one.bytes_read and not one.error for one in held)


@pytest.mark.parametrize("fifth, error", [("503", "status 503"), ("close", "closed without an answer")])
def test_another_status_or_none_is_an_error_and_the_next_request_has_a_connection(fifth: str, error: str) -> None:
    asked = [one for one in _samples(fifth) if one.is_asked]
    assert [one.error for one in asked] == [""] * 4 + [error] + [""] * (REQUESTS - 5)


def test_waits_for_a_cpu_are_not_the_nodes_own_time() -> None:
    sample = Sample(due_s=0.0, took_ms=70.0, late_ms=0.0, waited_ms=30.0, error="", bytes_read=1)
    assert sample.own_ms == 40.0
    assert sample._replace(waited_ms=90.0).own_ms == 0.0


def test_a_worker_that_died_has_waited_for_nothing() -> None:
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    waiting = Waiting(gone.pid)
    gone.wait()
    assert waiting.ms() == 0.0
    assert Waiting(gone.pid).ms() == 0.0
