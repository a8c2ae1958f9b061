"""The format and the coding of a scrape, by what the client would rather have."""

import gzip

import pytest
from aiohttp.test_utils import TestClient

from gateway.admin.accept import wants_gzip, wants_openmetrics

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;"
    "q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    "accept, is_openmetrics",
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("text/html, application/xhtml+xml, */*;q=0.8", False),
        (PROMETHEUS, True),
        (PROMETHEUS.replace("q=0.6", "q=0.1"), False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0", True),
        ("Application/OpenMetrics-Text; Version=1.0.0; Q=0.9, text/plain; q=0.8", True),
        ("application/openmetrics-text;q=0.1, text/plain;q=0.9", False),
        ("application/openmetrics-text;q=0.1, text/*;q=0.9", False),
        ("application/openmetrics-text;q=0.1, */*", False),
        ("application/openmetrics-text;q=0, */*", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.5, text/plain;q=0.5", True),
        ("application/openmetrics-text;version=2.0.0, text/plain;q=0.1", False),
        ("application/openmetrics-text;version=abc", False),
        ("application/openmetrics-text;q=nan, text/plain;q=0.1", False),
        ("application/openmetrics-text;q=2, text/plain;q=0.1", False),
        (";;,,=;q=,", False),
    ],
)
def test_the_format_is_the_one_that_is_given_more_weight(accept: str, is_openmetrics: bool) -> None:
    assert wants_openmetrics(accept) == is_openmetrics


@pytest.mark.parametrize(
    "encodings, is_wanted",
    [
        ("", False),
        ("gzip", True),
        ("GZIP;q=0.1", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("*", True),
        ("x-gzip", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("identity;q=1, gzip;q=0.5", False),
        ("identity;q=0.5, gzip;q=0.5", True),
        ("br", False),
        ("gzip;q=x", False),
    ],
)
def test_gzip_is_for_who_wants_it(encodings: str, is_wanted: bool) -> None:
    assert wants_gzip(encodings) == is_wanted


async def test_a_scrape_is_answered_as_it_is_asked_for(stranger: TestClient) -> None:
    stranger.session._auto_decompress = False
    async with stranger.get("/metrics", headers={"Accept": PROMETHEUS, "Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == ("gzip", "Accept, Accept-Encoding")
        assert gzip.decompress(await answer.read()) == b"tollgate_calls_total 0\n"
    asked = {"Accept": "application/openmetrics-text;q=0.1, text/plain", "Accept-Encoding": "gzip;q=0, *;q=0"}
    async with stranger.get("/metrics", headers=asked) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "Content-Encoding" not in answer.headers
        assert await answer.read() == b"tollgate_calls_total 0\n"
