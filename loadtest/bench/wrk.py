"""Load by wrk: what is asked for, and what came of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loadtest.bench.heads import DISTINCT, FIELDS
from loadtest.bench.machine import LOAD_CPU

_UNIT_MS: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}
_SCRIPT: Final = """\
local ask = %s
local requests, n, size = {}, 0, 0
init = function(_)
  local content = ask.body_bytes > 0 and string.rep("x", ask.body_bytes) or nil
  size = ask.distinct
  for i = 1, size do
    wrk.headers["Cookie"] = string.format("theme=dark; lang=en; session=%%032x", i * 2654435761)
    local path = ask.paths[(i - 1) %% #ask.paths + 1]
    requests[i] = wrk.format(ask.method, path .. "?item=" .. i, nil, content)
  end
end
request = function() n = n %% size + 1; return requests[n] end
"""


@dataclass(frozen=True)
class Load:
    """What wrk asks for. ``distinct`` requests, over ``paths`` in turn."""

    paths: tuple[str, ...] = ("/hello",)
    connections: int = 64
    method: str = "GET"
    body_bytes: int = 0
    closes: bool = False  # each connection carries one request
    distinct: int = DISTINCT


@dataclass(frozen=True)
class Seen:
    """One run of a client. ``failed``: answers outside 2xx and 3xx; ``broken``: connections and reads that failed."""

    requests: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    failed: int = 0
    broken: int = 0
    read_bytes_per_s: float = 0.0
    late_p99_ms: float = 0.0  # how late a paced client itself sent
    away: float = 0.0  # share of the time in which it did nothing at all


class WrkFailed(Exception):
    """wrk ended badly or printed what cannot be read. The message has what it printed."""


def is_installed() -> bool:
    return shutil.which("wrk") is not None


def lua(load: Load) -> str:
    """The script that makes the requests."""
    ask = {
        "method": load.method,
        "body_bytes": load.body_bytes,
        "distinct": max(load.distinct, len(load.paths)),
        "paths": list(load.paths),
    }
    return _SCRIPT % _table(ask)


def _table(value: Any) -> str:
    """A Lua literal of plain data."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_table(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(map(_table, value)) + "}"
    return json.dumps(value)


def run(url: str, load: Load, seconds: float, folder: Path) -> Seen:
    """Loads ``url`` (scheme, host, port) for whole seconds. Raises WrkFailed."""
    script = folder / "load.lua"
    script.write_text(lua(load))
    fields = {**FIELDS, **({"Connection": "close"} if load.closes else {})}
    argv = ["taskset", "-c", str(LOAD_CPU), "wrk", "-t1", f"-c{load.connections}", f"-d{max(1, round(seconds))}s"]
    argv += ["--latency", "--timeout", "5s", "-s", str(script)]
    for name, value in fields.items():
        argv += ["-H", f"{name}: {value}"]
    try:
        done = subprocess.run([*argv, url], capture_output=True, text=True, timeout=seconds + 60)
    except subprocess.TimeoutExpired as error:
        raise WrkFailed(f"wrk did not end in time: {error}") from None
    if done.returncode != 0:
        raise WrkFailed(f"wrk ended with {done.returncode}: {done.stderr[-500:]}{done.stdout[-500:]}")
    return parse(done.stdout)


def parse(text: str) -> Seen:
    """What wrk 4 prints with --latency. Raises WrkFailed where a figure is missing."""
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Seen(
        requests=int(_figure(r"(\d+) requests in", text)[0]),
        requests_per_s=float(_figure(r"Requests/sec:\s+([\d.]+)", text)[0]),
        p50_ms=_milliseconds(*_figure(r"^\s+50%\s+([\d.]+)(us|ms|s|m) *$", text)),
        p99_ms=_milliseconds(*_figure(r"^\s+99%\s+([\d.]+)(us|ms|s|m) *$", text)),
        failed=int(failed[1]) if failed else 0,
        broken=sum(map(int, errors.groups())) if errors else 0,
        read_bytes_per_s=_bytes(*_figure(r"Transfer/sec:\s+([\d.]+)([KMG]?)B", text)),
    )


def _figure(pattern: str, text: str) -> tuple[str, ...]:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise WrkFailed(f"no {pattern!r} in what wrk printed: {text[-500:]}")
    return found.groups()


def _milliseconds(number: str, unit: str) -> float:
    return float(number) * _UNIT_MS[unit]


def _bytes(number: str, unit: str) -> float:
    return float(number) * {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[unit]
