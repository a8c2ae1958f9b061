"""Every case of the raw-socket tables through the parsers: whole, byte by byte and split at every boundary.

The head parsers are given all that has come so far, so that a prefix of each length is each way of splitting.
"""

from __future__ import annotations

from typing import Any

import pytest

from gateway.http.errors import ProtocolError
from tests.fuzz import fuzz_chunked, fuzz_request, fuzz_response
from tests.gateway.rfc import (
    test_answers,
    test_body_length,
    test_field_syntax,
    test_message_parsing,
    test_request_line,
    test_transfer_codings,
)
from tests.gateway.rfc.conversation import head, post

SPLIT_BYTES_MAX = 2048  # A head of 64 KiB at each of its prefixes would take minutes; its bound has tests of its own.


def values(parameters: list[Any]) -> list[Any]:
    return [parameter.values[0] if hasattr(parameter, "values") else parameter for parameter in parameters]


REQUESTS = [
    *values(test_message_parsing.REFUSED),
    *values(test_message_parsing.PASSED),
    *values(test_request_line.REFUSED),
    *(head(host=host) for host in values(test_request_line.HOSTS_REFUSED)),
    *(head(line=b"GET " + target + b" HTTP/1.1") for target in values(test_request_line.PASSED)),
    *(head(line) for line in values(test_field_syntax.REFUSED)),
    *(post(b"Content-Length: " + value) for value in values(test_body_length.LENGTHS)),
    *(post(*fields) for fields in values(test_body_length.FRAMINGS)),
]
ANSWERS = [answer for answer in values(test_answers.BAD) if len(answer) <= SPLIT_BYTES_MAX]
CHUNKS = [content for content in values(test_transfer_codings.BAD) if len(content) <= SPLIT_BYTES_MAX]


@pytest.mark.parametrize("data", REQUESTS)
def test_a_request_head_is_the_same_however_it_is_split(data: bytes) -> None:
    fuzz_request.check_split(data)


@pytest.mark.parametrize("data", ANSWERS)
@pytest.mark.parametrize("to_head_request", [False, True])
def test_an_answer_head_is_the_same_however_it_is_split(data: bytes, to_head_request: bool) -> None:
    fuzz_response.check_split(data, to_head_request=to_head_request)


@pytest.mark.parametrize("content", CHUNKS)
def test_malformed_chunks_are_refused_however_they_are_split(content: bytes) -> None:
    follows = b"0\r\n\r\n" * 4  # So that no case can wait for more.
    data = content + follows
    assert fuzz_chunked.outcome([data])[0] == "refused"
    assert fuzz_chunked.outcome([data[at : at + 1] for at in range(len(data))])[0] == "refused"
    for at in range(1, len(data)):
        assert fuzz_chunked.outcome([data[:at], data[at:]])[0] == "refused", at


@pytest.mark.parametrize("data", values(test_message_parsing.REFUSED))
def test_what_is_refused_is_refused_at_the_latest_with_its_end(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        fuzz_request.RequestHead().parse(data, 32 * 1024, 8 * 1024, 128)
