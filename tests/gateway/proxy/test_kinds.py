"""What a node does not want is not in the class of its connections, so no request can pay for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.proxy.access_log import AccessLog
from gateway.proxy.client import ClientConnection
from gateway.proxy.core import ClientBounds, Core
from gateway.proxy.kinds import make_client
from gateway.proxy.observed import ObservedConnection
from gateway.proxy.traced import TracedConnection
from gateway.proxy.tracer import Tracer
from metering.clock import VirtualClock
from metering.meter import Meter
from tests.node import ROOT


@pytest.mark.parametrize(
    "has_log, is_traced, kind",
    [
        (False, False, ClientConnection),
        (True, False, ObservedConnection),
        (False, True, TracedConnection),
        (True, True, TracedConnection),
    ],
)
async def test_a_connection_is_of_the_kind_that_is_wanted(
    tmp_path: Path, has_log: bool, is_traced: bool, kind: type
) -> None:
    loop = asyncio.get_running_loop()
    core = Core(loop, Meter(tmp_path, "node:w", VirtualClock()), ClientBounds(), ())
    if has_log:
        core.access_log = AccessLog(loop, str(tmp_path / "access.log"))
    if is_traced:
        core.tracer = Tracer(0.01, 8)
    assert type(make_client(core, "internet", "http")) is kind
    if core.access_log is not None:
        await core.access_log.close()


def test_the_plain_kind_knows_nothing_of_the_others() -> None:
    """Its modules import none of theirs: nothing of them can be on its way."""
    for module in ("client", "admitting", "relaying", "downstream", "upstream", "forwarding"):
        text = (ROOT / "gateway" / "proxy" / f"{module}.py").read_text()
        assert not any(word in text for word in ("observed", "access_log", "tracer", "trace_context")), module
