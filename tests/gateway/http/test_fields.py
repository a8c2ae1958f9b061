"""Lines taken out of a field section."""

import pytest

from gateway.http.errors import ProtocolError
from gateway.http.fields import LIST_MEMBERS_MAX, without_fields
from gateway.http.request import RequestHead
from gateway.http.response import RESPONSE_FIELDS_MAX, ResponseHead


@pytest.mark.parametrize(
    "fields, names, left",
    [
        (b"", {b"a"}, b""),
        (b"A: 1\r\nB: 2\r\na: 3\r\n", {b"a"}, b"B: 2\r\n"),
        (b"A: 1\r\nB: 2\r\n", {b"a", b"b"}, b""),
        (b"AB: 1\r\n", {b"a", b"b"}, b"AB: 1\r\n"),
        (b"X: a:1\r\n", {b"a"}, b"X: a:1\r\n"),
        (b"A:\r\nB:\r\n", {b"a"}, b"B:\r\n"),
    ],
)
def test_only_the_named_lines_go(fields: bytes, names: set[bytes], left: bytes) -> None:
    assert without_fields(fields, names) == left


def lists(value: bytes) -> list[bytes]:
    """Requests with each list that a hop acts on."""
    fields = [b"Connection: " + value, b"TE: " + value, b"Transfer-Encoding: " + value]
    fields.append(b"\r\n".join(b"Connection: " + member for member in value.split(b",")))
    return [b"GET / HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n\r\n" for field in fields]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("member", [b"", b"o", b" close "])
def test_a_list_of_more_members_than_anybody_sends_is_refused_unread(number: int, member: bytes) -> None:
    """RFC 9110 2.3, 5.6.1: 30 KB of commas in one of them took 2 ms of everybody's time."""
    within, beyond = (lists(b",".join([member] * count))[number] for count in (LIST_MEMBERS_MAX, LIST_MEMBERS_MAX + 1))
    if number != 2:  # of codings no list but one of one is taken
        assert RequestHead().parse(within, 32768, 8192, 128)
    with pytest.raises(ProtocolError) as refused:
        RequestHead().parse(beyond, 32768, 8192, 128)
    assert refused.value.code == "head_too_large"


def test_an_answer_with_such_a_list_is_a_bad_one() -> None:
    answer = b"HTTP/1.1 204 No Content\r\nConnection: " + b"," * LIST_MEMBERS_MAX + b"\r\n\r\n"
    with pytest.raises(ProtocolError) as refused:
        ResponseHead().parse(answer, to_head_request=False)
    assert refused.value.code == "bad_gateway"


def test_an_answer_has_no_more_fields_than_a_few_hundred() -> None:
    def answer(fields: int) -> bytes:
        return b"HTTP/1.1 204 No Content\r\n" + b"A: b\r\n" * fields + b"\r\n"

    assert ResponseHead().parse(answer(RESPONSE_FIELDS_MAX), to_head_request=False)
    with pytest.raises(ProtocolError):
        ResponseHead().parse(answer(RESPONSE_FIELDS_MAX + 1), to_head_request=False)
