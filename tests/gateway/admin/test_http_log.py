"""What is no HTTP is counted and told of once a minute; anybody can send it, and it is nobody's traceback."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp.http_exceptions import BadHttpMessage

from gateway.admin.app import AdminServer, make_app
from gateway.admin.http_log import HttpLog
from gateway.admin.watch import Watch
from tests.gateway.admin.desk import TOKEN, DeskNode

MANY = 30


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nA: \x01\r\n\r\n", id="a control in a field"),
        pytest.param(b"GET / HTTP/1.1\r\nno field\r\n\r\n", id="no field"),
        pytest.param(b"GET / HTTP/9.9\r\n\r\n", id="a version"),
        pytest.param(b"GET / HTTP/1.1\r\nA: " + b"a" * 20_000 + b"\r\n\r\n", id="a long field"),
    ],
)
async def test_what_is_no_http_fills_no_log(tmp_path: Path, text: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Each such request was a traceback of half a kilobyte, from anybody who can connect."""
    desk, watch = DeskNode(tmp_path), Watch()
    server = AdminServer(make_app(desk, TOKEN, watch=watch))
    try:
        port = urlsplit(await server.start("127.0.0.1", 0)).port
        with caplog.at_level(logging.DEBUG):
            for _ in range(MANY):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(text)
                assert b" 400 " in await reader.readline()
                writer.close()
        counted = {sample.labels["reason"]: sample.value for metric in watch.collect() for sample in metric.samples
                   if sample.name == "tollgate_admin_refused_total"}  # fmt: skip
        assert counted["malformed"] == MANY
        assert len([one for one in caplog.records if one.levelno >= logging.WARNING]) == 1
        assert "Traceback" not in caplog.text
    finally:
        await server.stop()
        desk.close()


def test_other_errors_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    told = HttpLog(Watch())
    told.exception("Unhandled exception", exc_info=ValueError("ours"))
    failed = BadHttpMessage("an upstream's")
    failed.code = 502
    told.exception("Error handling request from %s", "127.0.0.1", exc_info=failed)
    assert len(caplog.records) == 2
