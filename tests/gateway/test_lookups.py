"""Names whose servers do not answer hold up no others: in a namespace of its own, with a name server that is silent."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.compiled import worker_environment
from tests.node import ROOT

NAMES = 24
LOOK_UP = """
import asyncio, json, os, socket, time, uvloop
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("127.0.0.1", 53))

async def look_up(name):
    began = time.monotonic()
    await asyncio.get_running_loop().getaddrinfo(name, 80)
    return time.monotonic() - began

async def main():
    waiting = [asyncio.ensure_future(look_up(f"n{n}.example")) for n in range(%d)]
    await asyncio.sleep(0.1)
    print(json.dumps([await look_up("localhost"), sum(one.done() for one in waiting)]), flush=True)
    os._exit(0)

uvloop.run(main())
"""


def test_names_that_are_not_answered_hold_up_no_others(tmp_path: Path) -> None:
    """With two threads of the loop's for names, eight such names held up the ninth for 40 s."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\n")
    script = f'ip link set lo up && mount --bind {resolver} /etc/resolv.conf && exec "$@"'
    namespace = ["unshare", "--map-root-user", "--net", "--mount", "sh", "-c"]
    if subprocess.run([*namespace, script, "-", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs namespaces")
    done = subprocess.run(
        [*namespace, script, "-", sys.executable, "-c", LOOK_UP % NAMES],
        env=worker_environment(), cwd=ROOT, capture_output=True, timeout=20, check=True,
    )  # fmt: skip
    took_s, answered = json.loads(done.stdout)
    assert took_s < 2
    assert answered == 0
