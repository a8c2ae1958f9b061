"""The access log: a line for each request, true to what the client and the upstream saw."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.data_plane import Raw, WorkerProcess, instance, service, worker
from tests.node import free_port, origin, until


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(path: Path, count: int) -> list[dict[str, Any]]:
    until(lambda: len(lines(path)) >= count, f"{count} lines", 5)
    return lines(path)


def get(path: str, *fields: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *fields, "", ""]).encode()


def test_a_line_says_what_client_and_upstream_saw(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    routes = [{"id": "some", "methods": ["GET"], "path": "/bytes/{n}", "limit": None}]
    with origin() as port, worker(tmp_path, service("s", port, routes=routes), access_log=log) as running:
        with Raw(running.port) as client:
            request = get("/s/bytes/100?token=secret", "X-Request-Id: abc")
            client.send(request).answer()
            bytes_read = client.bytes_read
        (line,) = wait_for(log, 1)
        assert line.pop("time").endswith("Z")
        assert line.pop("duration_ms") >= line.pop("upstream_ms") > 0
        assert line.pop("bytes_upstream") > 100
        assert line == {
            "request_id": "abc",
            "instance": "one",
            "service": "s",
            "route": "some",
            "client": "127.0.0.1",
            "method": "GET",
            "path": "/s/bytes/100",
            "status": 200,
            "outcome": "ok",
            "upstream": f"http://127.0.0.1:{port}",
            "upstream_status": 200,
            "bytes_in": len(request),
            "bytes_out": bytes_read,
        }
        assert "secret" not in log.read_text()


def test_refusals_and_failures_have_lines_with_their_code(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    services = (service("limited", 9, limit={"slot": 0, "qps": 1}), service("gone", free_port()))
    with worker(tmp_path, *services, access_log=log) as running:
        for request in (b"GET / HTTP/9\r\n\r\n", get("/nowhere"), get("/gone/x")):
            with Raw(running.port) as client:
                client.send(request).answer()
        with Raw(running.port) as client:
            client.send(b"GET /half HTTP/1.1\r\nHo")
        found = wait_for(log, 4)
        assert [(line["status"], line["outcome"], line["upstream_status"]) for line in found] == [
            (400, "bad_request", "-"),
            (404, "no_route", "-"),
            (502, "bad_gateway", "-"),
            (None, "bad_request", "-"),
        ]


def test_there_are_as_many_lines_as_requests_counted(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with origin() as port, worker(tmp_path, service("s", port), access_log=log) as running:
        with Raw(running.port) as client:
            client.send(get("/s/bytes/1") * 50 + get("/nowhere") * 7)
            for _ in range(57):
                client.answer()
        with Raw(running.port) as client:
            client.send(b"POST /s/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
            until(lambda: running.counts().get("s", {}).get("ingress", 0) > 0, "it has arrived", 5)
        running.drain()
        counted = running.counts().get("s", {})["calls"] + running.counts().get("-", {})["frontend_error:no_route"]
        assert len(lines(log)) == counted == 58
        assert lines(log)[-1]["outcome"] == "client_gone"
        assert (
            sum(line["bytes_in"] for line in lines(log) if line["service"] == "s")
            == running.counts().get("s", {})["ingress"]
        )


@pytest.mark.parametrize("share, least, most", [(0.0, 0, 0), (0.5, 60, 140), (1.0, 200, 200)])
def test_an_instance_logs_the_share_it_wants(tmp_path: Path, share: float, least: int, most: int) -> None:
    log = tmp_path / "access.log"
    one = instance(log_share=share)
    with origin() as port, worker(tmp_path, service("s", port), one=one, access_log=log) as running:
        with Raw(running.port) as client:
            client.send(get("/s/bytes/1") * 200)
            for _ in range(200):
                client.answer()
        running.drain()
        assert least <= len(lines(log)) <= most


def test_after_a_rotation_lines_go_to_the_new_file(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with origin() as port, worker(tmp_path, service("s", port), access_log=log) as running, Raw(running.port) as client:
        client.send(get("/s/bytes/1")).answer()
        wait_for(log, 1)
        log.rename(tmp_path / "access.log.1")
        client.send(get("/s/bytes/2")).answer()
        wait_for(tmp_path / "access.log.1", 2)
        running.tell({"do": "reopen"})
        until(log.exists, "the new file", 5)
        client.send(get("/s/bytes/3")).answer()
        assert [line["path"] for line in wait_for(log, 1)] == ["/s/bytes/3"]
        assert len(lines(tmp_path / "access.log.1")) == 2


def test_a_file_that_cannot_be_opened_ends_the_worker_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"no-folder/access\.log"):
        WorkerProcess(
            tmp_path, [service("s", 9)], {"one": instance()}, access_log=tmp_path / "no-folder" / "access.log"
        )


def test_a_disk_that_takes_nothing_loses_lines_and_no_request(tmp_path: Path) -> None:
    full = Path("/dev/full")
    with (
        origin() as port,
        worker(tmp_path, service("s", port), access_log=full) as running,
        Raw(running.port) as client,
    ):
        for _ in range(5):
            assert client.send(get("/s/bytes/1")).answer()[0] == 200
        until(lambda: "lines of the access log are lost" in running.log.read_text(), "a line in the log", 5)
        assert client.send(get("/s/bytes/1")).answer()[0] == 200
        os.kill(running.process.pid, signal.SIGTERM)
        assert running.process.wait(10) == 0
