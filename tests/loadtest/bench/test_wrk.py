from __future__ import annotations

import subprocess

import pytest

from loadtest.bench import wrk
from loadtest.bench.wrk import Load, Seen, WrkFailed
from tests.installed import needed

PRINTED = """\
Running 3s test @ http://127.0.0.1:9001
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.20ms  512.00us   9.10ms   88.30%
    Req/Sec    52.61k     1.20k   55.00k    70.00%
  Latency Distribution
     50%  870.00us
     75%    1.31ms
     90%    1.80ms
     99%    2.50s\x20
  157830 requests in 3.00s, 30.41MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 17
Requests/sec:  52610.00
Transfer/sec:     10.50MB
"""


def test_every_figure_is_read_in_its_unit() -> None:
    seen = wrk.parse(PRINTED)
    assert seen == Seen(
        157_830, 52_610.0, p50_ms=0.87, p99_ms=2500.0, failed=17, broken=10, read_bytes_per_s=10.5 * 2**20
    )


def test_a_run_without_errors_has_none() -> None:
    lines = [line for line in PRINTED.splitlines() if "errors" not in line and "Non-2xx" not in line]
    seen = wrk.parse("\n".join(lines))
    assert (seen.failed, seen.broken) == (0, 0)


@pytest.mark.parametrize("missing", ["Requests/sec", "requests in", "99%", "50%", "Transfer/sec"])
def test_a_figure_that_is_missing_is_named_and_never_guessed(missing: str) -> None:
    text = "\n".join(line for line in PRINTED.splitlines() if missing not in line)
    with pytest.raises(WrkFailed, match=missing.split("/")[0]):
        wrk.parse(text)


def test_the_script_makes_requests_of_which_no_two_are_alike() -> None:
    lua = needed("lua5.4", "lua", "luajit")
    program = (
        "wrk = {headers = {}, format = function(m, p, h, b) return m .. p .. wrk.headers.Cookie .. (b or '') end}\n"
        + wrk.lua(Load(("/a", "/b"), method="POST", body_bytes=3, distinct=5))
        + "\ninit({})\nfor i = 1, 6 do print(request()) end\n"
    )
    lines = subprocess.run([lua, "-e", program], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 6 and len(set(lines)) == 5 and lines[0] == lines[5]
    assert all(line.startswith("POST/") and line.endswith("xxx") for line in lines)


def test_every_path_is_asked_for_even_where_there_are_more_than_requests() -> None:
    assert "distinct = 3," in wrk.lua(Load(("/a", "/b", "/c"), distinct=1))
