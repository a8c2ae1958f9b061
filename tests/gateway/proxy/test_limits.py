"""What limits mean to a client of a real worker: levels, keys, quotas, shadow mode, waiting."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.data_plane import Raw, WorkerProcess, instance, service, worker
from tests.node import origin, until

WAIT_MS = 5000


def keys(**keys: dict[str, Any]) -> dict[str, Any]:
    """An `auth` whose keys' values are their ids."""
    made = [{"id": id, "sha256": hashlib.sha256(id.encode()).hexdigest(), **more} for id, more in keys.items()]
    return {"header": "X-Api-Key", "strip": True, "keys": made}


def quota(slot: int, calls: int) -> dict[str, Any]:
    return {"slot": slot, "calls": calls, "per": "month", "timezone": "Asia/Shanghai"}


def get(path: str, *fields: str, close: bool = False) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: x", *fields, *(["Connection: close"] if close else [])]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with origin() as port:
        yield port


@pytest.fixture
def running(tmp_path: Path, upstream: int) -> Iterator[WorkerProcess]:
    slow = {"id": "slow", "methods": [], "path": "/bytes/1", "limit": {"slot": 7, "qps": 1}}
    rest = {"id": "rest", "methods": [], "path": "/*", "limit": None}
    with worker(
        tmp_path,
        service("shadow", upstream, limit_mode="shadow", limit={"slot": 1, "qps": 3}, routes=[slow, rest]),
        service(
            "keyed",
            upstream,
            auth=keys(
                free={},
                slow={"limit": {"slot": 2, "qps": 1}},
                few={"quota": quota(0, 5)},
                both={"limit": {"slot": 3, "qps": 1}, "quota": quota(1, 3)},
            ),
        ),
        service("patient", upstream, limit={"slot": 4, "qps": 10}, wait_ms_max=WAIT_MS),
        service("hasty", upstream, limit={"slot": 5, "qps": 1}, wait_ms_max=50),
        service("stuck", upstream, limit={"slot": 6, "qps": 1}, wait_ms_max=60_000),
        one=instance(limit={"slot": 0, "qps": 1000}),
    ) as made:
        yield made


def statuses(client: Raw, path: str, number: int, *fields: str) -> list[int]:
    return [client.send(get(path, *fields)).answer()[0] for _ in range(number)]


def test_shadow_mode_refuses_nothing_and_counts_what_it_would_have_refused(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        began = time.monotonic()
        assert statuses(client, "/shadow/bytes/1", 20) == [200] * 20
        assert statuses(client, "/shadow/bytes/2", 20) == [200] * 20
        lasted_s = time.monotonic() - began
    counts = running.counts()["shadow"]
    assert counts["calls"] == 40
    assert "frontend_error:rate_limited" not in counts
    # Taken together, as if enforced: what the route refuses takes nothing of the service's 3 a second.
    refused = counts.get("shadow_refused:service", 0) + counts.get("shadow_refused:route", 0)
    assert 40 - 2 - 3 * lasted_s - 2 <= refused <= 38
    assert counts["shadow_refused:service"] >= 20 - 2 - 3 * lasted_s


def test_the_instance_is_enforced_for_a_service_in_shadow_mode(tmp_path: Path, upstream: int) -> None:
    shadow = service("shadow", upstream, limit_mode="shadow", limit={"slot": 1, "qps": 1})
    with worker(tmp_path, shadow, one=instance(limit={"slot": 0, "qps": 2})) as running:
        with Raw(running.port) as client:
            answers = statuses(client, "/shadow/bytes/1", 20)
        assert 16 <= answers.count(429) <= 18
        counts = running.counts()["shadow"]
        assert counts["limit_refused:instance"] == counts["frontend_error:rate_limited"] == answers.count(429)
        assert counts.get("shadow_refused:service", 0) <= answers.count(200), "the refused are not asked about"


def test_a_key_has_a_limit_of_its_own(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        assert statuses(client, "/keyed/bytes/1", 20, "X-Api-Key: free") == [200] * 20
        slow = statuses(client, "/keyed/bytes/1", 10, "X-Api-Key: slow")
        assert 7 <= slow.count(429) <= 8
        status, fields, content = client.send(get("/keyed/bytes/1", "X-Api-Key: slow")).answer()
        assert (status, json.loads(content)["type"]) == (429, "urn:tollgate:rate_limited")
        assert "key" in json.loads(content)["detail"]
        assert fields["ratelimit-policy"] == '"instance";q=1000;w=1, "key";q=1;w=1'
        assert fields["ratelimit"] == '"key";r=0;t=1'
        assert fields["retry-after"] == "1"
        assert statuses(client, "/keyed/bytes/1", 3, "X-Api-Key: free") == [200] * 3, "one key's limit is no other's"
    assert running.counts()["keyed"]["limit_refused:key"] == slow.count(429) + 1


def test_a_quota_is_used_up_and_outlives_a_killed_worker(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        assert statuses(client, "/keyed/bytes/1", 3, "X-Api-Key: few") == [200] * 3
    running.kill()
    running.start()
    with Raw(running.port) as client:
        assert statuses(client, "/keyed/bytes/1", 4, "X-Api-Key: few") == [200, 200, 429, 429]
        _, fields, content = client.send(get("/keyed/bytes/1", "X-Api-Key: few")).answer()
        assert json.loads(content)["type"] == "urn:tollgate:quota_exceeded"
        assert int(fields["retry-after"]) > 1
        assert fields["ratelimit"].startswith('"quota";r=0;t=')
        assert ', "quota";q=5;w=' in fields["ratelimit-policy"]
    counts = running.counts()["keyed"]
    assert counts["calls"] == 5
    assert counts["frontend_error:quota_exceeded"] == counts["limit_refused:quota"] == 3


def test_what_the_keys_limit_refuses_does_not_use_its_quota(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        answers = statuses(client, "/keyed/bytes/1", 12, "X-Api-Key: both")
        admitted = answers.count(200)
        assert 2 <= admitted <= 3
        rest = 3 - admitted
        until(
            lambda: client.send(get("/keyed/bytes/1", "X-Api-Key: both")).answer()[0] == 200 if rest else True,
            "the rest of the quota",
        )
        _, _, content = client.send(get("/keyed/bytes/1", "X-Api-Key: both")).answer()
        assert json.loads(content)["type"] == "urn:tollgate:quota_exceeded"


def test_requests_over_the_limit_wait_and_are_answered_in_order(running: WorkerProcess) -> None:
    """2 at once and 10 a second: the twelfth has waited for a second, and none was refused."""
    clients = [Raw(running.port) for _ in range(12)]
    began = time.monotonic()
    for client in clients:
        client.send(get("/patient/bytes/7"))
        time.sleep(0.005)  # One after another at the worker, as they are on different connections.
    ended = []
    for client in clients:
        status, _, content = client.answer()
        assert (status, len(content)) == (200, 7)
        ended.append(time.monotonic())
        client.close()
    assert ended[-1] - began >= 0.9, "so many a second and no more"
    counts = running.counts()["patient"]
    assert counts["calls"] == 12
    assert "frontend_error:rate_limited" not in counts


def test_content_that_comes_while_a_request_waits_is_sent_with_it(running: WorkerProcess) -> None:
    content = bytes(range(256)) * 300  # Beyond what is read ahead, so that reading stops meanwhile.
    head = b"POST /patient/echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(content)
    chunked = b"POST /patient/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Raw(running.port) as client, Raw(running.port) as other:
        assert statuses(client, "/patient/bytes/1", 3) == [200] * 3
        client.send(head + content)
        other.send(chunked)
        other.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content))
        assert client.answer()[2] == content
        assert other.answer()[2] == content
        assert statuses(client, "/patient/bytes/1", 1) == [200], "the connection is where it was"


def test_whose_wait_is_over_is_refused(running: WorkerProcess) -> None:
    with Raw(running.port) as client:
        answers = [client.send(get("/hasty/bytes/1")).answer() for _ in range(6)]
    refused = [answer for answer in answers if answer[0] == 429]
    assert 3 <= len(refused) <= 4
    assert refused[0][1]["retry-after"] == "1"
    counts = running.counts()["hasty"]
    assert counts["frontend_error:rate_limited"] == counts["limit_refused:service"] == len(refused)


@pytest.mark.parametrize("way", ["closed", "reset"])
def test_a_client_that_leaves_gives_its_place_up(running: WorkerProcess, way: str) -> None:
    with Raw(running.port) as client:
        assert statuses(client, "/stuck/bytes/1", 2) == [200] * 2
        leaving = [Raw(running.port).send(get("/stuck/bytes/1")) for _ in range(5)]
        until(lambda: running.counts()["stuck"].get("ingress", 0) > 6 * 40, "all of them are in")
        for one in leaving:
            if way == "reset":
                one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()
        # One may have been admitted in the meantime; the others are counted as refused, and none as a call.
        until(lambda: running.counts()["stuck"].get("frontend_error:rate_limited", 0) >= 3, "they are gone")
        assert client.send(get("/stuck/bytes/1")).answer()[0] == 200
    counts = running.counts()["stuck"]
    assert counts["calls"] + counts["frontend_error:rate_limited"] == 8
    assert counts["calls"] <= 5
