"""RFC 9112 5 and RFC 9110 5: field lines."""

import pytest

from tests.gateway.rfc.conversation import Conversation, head

CONTROLS = [c for c in range(0x20) if c not in (0x09, 0x0A, 0x0D)] + [0x7F]

REFUSED = [
    pytest.param(b"X : y", id="5.1 space before the colon"),
    pytest.param(b"X\t: y", id="5.1 tab before the colon"),
    pytest.param(b"Content-Length : 5", id="5.1 space before the colon of Content-Length"),
    pytest.param(b"Transfer-Encoding : chunked", id="5.1 space before the colon of Transfer-Encoding"),
    pytest.param(b"X: y\r\n z", id="5.2 obs-fold by space"),
    pytest.param(b"X: y\r\n\tz", id="5.2 obs-fold by tab"),
    pytest.param(b"X:\r\n y", id="5.2 obs-fold of an empty value"),
    pytest.param(b"Transfer-Encoding:\r\n chunked", id="5.2 obs-fold of Transfer-Encoding"),
    pytest.param(b"Content-Length: 1\r\n 0", id="5.2 obs-fold of Content-Length"),
    pytest.param(b"X: y\r\n ", id="5.2 obs-fold with nothing in it"),
    pytest.param(b"X", id="5 no colon"),
    pytest.param(b"X y", id="5 no colon but a space"),
    pytest.param(b": y", id="9110-5.1 an empty name"),
    pytest.param(b" X: y", id="9110-5.1 space before the name"),
    pytest.param(b"X Y: z", id="9110-5.1 space in the name"),
    *(pytest.param(b"X" + bytes((c,)) + b"Y: z", id=f"9110-5.1 {chr(c)} in a name") for c in b'"(),/;<=>?@[\\]{}'),
    pytest.param("Ä: x".encode(), id="9110-5.1 a name not in ASCII"),
    *(pytest.param(b"X: a" + bytes((c,)) + b"b", id=f"9110-5.5 0x{c:02x} in a value") for c in CONTROLS),
    pytest.param(b"X\x0b: y", id="9110-5.1 vertical tab in a name"),
    pytest.param(b"Transfer-Encoding:\x0bchunked", id="9110-5.5 vertical tab before chunked"),
    pytest.param(b"Content-Length:\x0c5", id="9110-5.5 form feed before a length"),
]


@pytest.mark.parametrize("line", REFUSED)
def test_a_malformed_field_line_is_refused(talk: Conversation, line: bytes) -> None:
    talk.refuses(head(line))


@pytest.mark.parametrize(
    "line, value",
    [
        pytest.param(b"X-A:b", "b", id="5 no whitespace"),
        pytest.param(b"X-A:  b\t ", "b", id="5 whitespace around"),
        pytest.param(b"X-A:", "", id="5 empty"),
        pytest.param(b"X-A: \t", "", id="5 only whitespace"),
        pytest.param(b"X-A: b \t c", "b \t c", id="9110-5.5 whitespace inside"),
        pytest.param(b"x-a: B", "B", id="9110-5.1 any case"),
        pytest.param(b"X-A: \x80\xff", "\x80\xff", id="9110-5.5 obs-text"),
        pytest.param(b"X-A: b:c: d", "b:c: d", id="5 colons in the value"),
        pytest.param(b"X-A: b\r\nX-A: c", "b | c", id="9110-5.2 repeated, in order"),
        pytest.param(b"X-A: " + b"y" * 20_000, "y" * 20_000, id="9110-5.4 long"),
    ],
)
def test_a_sound_field_goes_on(talk: Conversation, line: bytes, value: str) -> None:
    assert talk.passes(head(line)).fields["x-a"] == value


def test_every_token_is_a_name(talk: Conversation) -> None:
    """RFC 9110 5.1, 5.6.2."""
    assert talk.passes(head(b"!#$%&'*+-.^_`|~09Az: y")).fields["!#$%&'*+-.^_`|~09az"] == "y"


@pytest.mark.parametrize("count, status", [(127, 200), (128, 431)])
def test_there_are_at_most_128_fields(talk: Conversation, count: int, status: int) -> None:
    data = head(*[b"A: b"] * count)  # and a Host
    if status == 200:
        talk.passes(data)
    else:
        talk.refuses(data, status)


@pytest.mark.parametrize("extra, status", [(0, 200), (1, 431)])
def test_a_head_is_at_most_32_kib(talk: Conversation, extra: int, status: int) -> None:
    short = head(b"A: ")
    data = head(b"A: " + b"x" * (32 * 1024 - len(short) + extra))
    if status == 200:
        talk.passes(data)
    else:
        talk.refuses(data, status)


def test_a_head_without_end_is_refused_at_the_bound(talk: Conversation) -> None:
    talk.refuses(head(b"A: " + b"x" * 40_000)[:-4], 431)
