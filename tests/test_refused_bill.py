"""Requests without a key, by the thousand, and the bill of their hour: not a byte of them is on it (X11)."""

from __future__ import annotations

import asyncio
import hashlib
import re
from pathlib import Path

import pytest

from loadtest.client import drive, get
from metering.tcp_info import IS_MEASURED
from tests.node import Node, free_port, node, origin, until
from tests.test_end_to_end import CONFIG
from tests.test_wire_bill import billed, egress

KEY = "right"
SERVICE_A = "- {{id: a, instance: shared-1, "
KEYED = SERVICE_A + "auth: {{type: key, header: X-Api-Key, keys: [{{id: k, sha256: {digest}}}]}}, "
REFUSALS, CALLS = 3000, 40  # within the burst of 500 a second


def metric(running: Node, side: str, basis: str) -> int:
    _, text = running.call("GET", "/metrics")
    series = re.compile(rf'^tollgate_egress_bytes_total\{{.*side="{side}",.*basis="{basis}"\}} (\S+)$', re.M)
    return sum(int(value) for value in series.findall(text))


@pytest.mark.parametrize(
    "basis", ["application", pytest.param("wire", marks=pytest.mark.skipif(not IS_MEASURED, reason="no TCP_INFO"))]
)
def test_refusals_are_metered_and_billed_to_nobody(tmp_path: Path, basis: str) -> None:
    with origin() as upstream:
        ports = {name: free_port() for name in ("shared", "dedicated", "admin")}
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        config = CONFIG.replace(SERVICE_A, KEYED.replace("{digest}", digest))
        config = config.format(**ports, origin=upstream, rate=600).replace("basis: application", f"basis: {basis}")
        with node(tmp_path, config, ports["admin"]) as running:
            refused = asyncio.run(drive(ports["shared"], get("/a/bytes/700"), count=REFUSALS, connections=4))
            assert refused.completed == {401: REFUSALS}
            until(lambda: egress(running, "refused", "application") == refused.bytes_read, "metered", 10)
            assert egress(running, "client", "application") == 0
            with_key = get("/a/bytes/700").replace(b"\r\n\r\n", f"\r\nX-Api-Key: {KEY}\r\n\r\n".encode())
            served = asyncio.run(drive(ports["shared"], with_key, count=CALLS, connections=4))
            assert served.completed == {200: CALLS}
            until(lambda: billed(running, "calls") == CALLS, "the calls' hour is settled", 30)
            until(
                lambda: 0 < egress(running, "client", basis) == billed(running, "egress_client"),
                "what is billed is the calls' side",
                30,
            )
            assert egress(running, "client", "application") == served.bytes_read
            assert egress(running, "refused", "application") == refused.bytes_read
            if IS_MEASURED:
                assert egress(running, "refused", "wire") > refused.bytes_read
                assert egress(running, "client", "wire") < served.bytes_read + CALLS * 200
            assert metric(running, "refused", "application") == refused.bytes_read
