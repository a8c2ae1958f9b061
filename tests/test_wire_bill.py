"""`egress_basis: wire`: the bill is the wire bytes' (X16)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from loadtest.client import drive, get
from metering.tcp_info import IS_MEASURED
from tests.node import Node, free_port, node, origin, until
from tests.test_end_to_end import CONFIG


def egress(running: Node, side: str, basis: str) -> int:
    rows = running.call("GET", "/v1/usage?account=acme")[1]["items"]
    return sum(
        item["bytes"]
        for row in rows
        for item in row["egress"]
        if (item["side"], item["network"], item["basis"]) == (side, "internet", basis)
    )


def billed(running: Node, meter: str) -> int:
    _, bill = running.call("GET", "/v1/bills?account=acme")
    return sum(
        line["quantity"] for month in bill["bills"].values() for line in month["lines"] if line["meter"] == meter
    )


@pytest.mark.skipif(not IS_MEASURED, reason="the kernel has no TCP_INFO with bytes sent")
def test_wire_bytes_are_billed_where_the_configuration_says_so(tmp_path: Path) -> None:
    with origin() as upstream:
        ports = {name: free_port() for name in ("shared", "dedicated", "admin")}
        config = CONFIG.format(**ports, origin=upstream, rate=600).replace("basis: application", "basis: wire")
        with node(tmp_path, config, ports["admin"]) as running:
            tally = asyncio.run(drive(ports["shared"], get("/a/bytes/20000"), count=200, connections=4))
            until(
                lambda: egress(running, "client", "wire") + egress(running, "refused", "wire") >= tally.bytes_read,
                "read when the connections ended",
                5,
            )
            sent = {side: egress(running, side, "application") for side in ("client", "refused", "backend")}
            assert sent["client"] + sent["refused"] == tally.bytes_read
            for side, meter in (("client", "egress_client"), ("backend", "egress_backend")):
                until(lambda meter=meter: billed(running, meter) > 0, "the hour is settled", 30)
                until(
                    lambda meter=meter, side=side: billed(running, meter) == egress(running, side, "wire"),
                    "what is billed is the wire figure, later segments included",
                    30,
                )
                assert egress(running, side, "wire") > sent[side]
