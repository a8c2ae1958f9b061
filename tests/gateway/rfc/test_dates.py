"""RFC 9110 6.6.1: when an answer was made, by whoever made it."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import pytest

from tests.gateway.rfc.conversation import Conversation, head

THEIRS = "Sun, 06 Nov 1994 08:49:37 GMT"


def is_now(date: str) -> bool:
    return date.endswith(" GMT") and abs(parsedate_to_datetime(date).timestamp() - time.time()) < 10


@pytest.mark.parametrize(
    "request_bytes, status",
    [
        pytest.param(head(line=b"GET /nowhere HTTP/1.1"), 404, id="no route"),
        pytest.param(head(line=b"GET /ws/x HTTP/1.1"), 426, id="refused by its service"),
        pytest.param(head(line=b"GET /gone/x HTTP/1.1"), 502, id="failed behind"),
        pytest.param(b"GET / HTTP/1.1\r\nbad\r\n\r\n", 400, id="malformed"),
    ],
)
def test_the_gateway_dates_its_own_answers(talk: Conversation, request_bytes: bytes, status: int) -> None:
    with talk.client() as client:
        found, fields, _ = client.send(request_bytes).answer()
        assert found == status
        assert is_now(fields["date"])


def test_a_date_is_passed_on_as_it_came(talk: Conversation) -> None:
    dated = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDATE: %b\r\n\r\n" % THEIRS.encode()
    talk.upstream.will(dated, dated)
    with talk.client() as client:
        for _ in range(2):
            client.send(head())
            lines = []
            while (line := client.file.readline()) != b"\r\n":
                lines.append(line)
            assert [line for line in lines if line.lower().startswith(b"date:")] == [
                b"DATE: " + THEIRS.encode() + b"\r\n"
            ]


def test_an_answer_without_one_is_dated_when_it_is_passed_on(talk: Conversation) -> None:
    """A recipient with a clock MUST."""
    plain = b"HTTP/1.1 200 OK\r\nX-Date: 1\r\nContent-Length: 0\r\n\r\n"
    interim = b"HTTP/1.1 103 Early Hints\r\nDate: %b\r\n\r\n" % THEIRS.encode()
    last = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    talk.upstream.will(last, plain, plain, interim + plain)
    with talk.client() as client:
        assert client.send(head()).answer()[0] == 200  # From here on a new connection, which has had no Date yet.
        assert is_now(client.send(head()).answer()[1]["date"])
        assert is_now(client.send(head()).answer()[1]["date"])
        assert client.send(head()).head()[0] == 103
        assert is_now(client.answer()[1]["date"])
