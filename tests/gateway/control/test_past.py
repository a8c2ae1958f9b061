"""A clock that was set back: refused in words, or allowed by name."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.control.errors import StartError
from gateway.control.past import require_not_past
from metering.clock import hour_start
from tests.gateway.control.configuration import config_text
from tests.node import ROOT, TOKEN, free_port, node, until

HOUR = 472_222


@pytest.mark.parametrize("settled", [None, HOUR - 1, HOUR])
def test_a_clock_at_the_end_of_what_is_billed_is_fine_and_so_is_a_small_correction(settled: int | None) -> None:
    require_not_past(hour_start(HOUR + 1), settled)
    require_not_past(hour_start(HOUR + 1) - 300, settled)


def test_one_before_is_refused_with_both_instants() -> None:
    with pytest.raises(StartError, match=r"2023-11-14T22:54:59Z.* billed up to 2023-11-14T23:00:00Z.*--allow-past"):
        require_not_past(hour_start(HOUR + 1) - 301, HOUR)


def test_a_node_whose_clock_ran_ahead_does_not_start_on_the_machines_time(tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("shared", "dedicated", "admin")}
    with node(tmp_path, config_text(**ports, rate=3600), ports["admin"]) as running:
        until(lambda: running.call("GET", "/v1/settlements?account=acme")[1]["items"], "an hour is settled", 20)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0
        running.config.write_text(config_text(**ports))
        running.process = running._start()
        assert running.process.wait(20) == 1
        assert "the store is billed up to" in running.log.read_text()
        assert "Traceback" not in running.log.read_text()
        with running.log.open("ab") as log:
            running.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", str(running.config), "--allow-past"],
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, "TOLLGATE_ADMIN_TOKEN": TOKEN},
            )
        running.wait_ready()
