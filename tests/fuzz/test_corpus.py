"""Every input kept for the fuzzers passes its target's check, and more of their kind, drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import fuzz_chunked, fuzz_path, fuzz_request, fuzz_response

CHECKS: dict[str, Callable[[bytes], None]] = {
    "request": fuzz_request.check,
    "response": fuzz_response.check,
    "chunked": fuzz_chunked.check,
    "path": fuzz_path.check,
}
CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(path for path in CORPUS.glob("*/*"))


def test_there_is_a_corpus_for_each_target() -> None:
    assert {path.parent.name for path in FILES} == set(CHECKS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_corpus_passes(path: Path) -> None:
    CHECKS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_every_cut_and_every_doubling_of_it_passes(path: Path) -> None:
    """What a fuzzer tries first, without one."""
    data, check = path.read_bytes(), CHECKS[path.parent.name]
    for at in range(len(data)):
        check(data[:at] + data[at + 1 :])
        check(data[:at] + data[at : at + 1] + data[at:])
        check(data[:at] + b"\n" + data[at:])
    check(data + data)


# Pieces that near-valid messages are made of: what parsers split on, and what they might be led astray by.
# fmt: off
PIECES = [
    b"\r\n", b"\n", b"\r", b"\x00", b" ", b"\t", b":", b";", b",", b"0", b"5", b"hello", b"GET", b"POST", b"OPTIONS",
    b"/", b"/a", b"*", b"http://a", b"?x", b"#", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.1 200 OK", b"HTTP/1.1 204 X",
    b"HTTP/1.1 103 X", b"Host: a\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"Connection: close\r\n",
    b"Connection: keep-alive, X\r\n", b"X: y\r\n", b"X:\r\n", b"\xff", b"5\r\nhello\r\n", b"0\r\n\r\n",
    b"1;x=y\r\na\r\n", b"\r\n\r\n", b"..", b".", b"%2e", b"%2f", b"%41", b"//", b"..;", b"TE: trailers\r\n",
    b"Expect: 100-continue\r\n",
]
# fmt: on
mixed = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=24).map(b"".join)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    line = draw(
        st.sampled_from([b"GET /a HTTP/1.1", b"POST http://b/c HTTP/1.1", b"OPTIONS * HTTP/1.1", b"POST / HTTP/1.0"])
    )
    lines = draw(st.lists(st.sampled_from([piece for piece in PIECES if piece[-2:] == b"\r\n"]), max_size=6))
    return line + b"\r\nHost: a\r\n" + b"".join(lines) + b"\r\n" + draw(mixed)


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    version = draw(st.sampled_from([b"HTTP/1.1 ", b"HTTP/1.0 "]))
    status = draw(st.integers(100, 599).filter(lambda status: status != 101))
    lines = draw(st.lists(st.sampled_from([piece for piece in PIECES if piece[-2:] == b"\r\n"]), max_size=6))
    return version + b"%d" % status + b" X\r\n" + b"".join(lines) + b"\r\n" + draw(mixed)


@settings(deadline=None)
@given(requests() | mixed)
def test_near_valid_requests_are_read_alike_or_refused(data: bytes) -> None:
    fuzz_request.check(data)


@settings(deadline=None)
@given(responses() | mixed)
def test_near_valid_answers_are_read_alike_or_refused(data: bytes) -> None:
    fuzz_response.check(data)


@settings(deadline=None)
@given(mixed | mixed.map(lambda data: data + b"0\r\n\r\n"))
def test_near_valid_chunks_are_read_alike_or_refused(data: bytes) -> None:
    fuzz_chunked.check(data)


@settings(deadline=None)
@given(mixed)
def test_paths_mean_the_same_in_their_normal_form(data: bytes) -> None:
    fuzz_path.check(data)
