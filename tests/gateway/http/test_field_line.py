"""Field lines that are known: read once, bounded in number and length, and never a malformed one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.field_line import BY_VALUE, LINE_BYTES_MAX, LINES_MAX, NAME_BYTES_MAX, NAMES_MAX, PLAIN, FieldLines
from gateway.http.request import RequestHead
from gateway.http.response import ResponseHead

KIND = 3


class NumberedLine(bytes):
    """Hashes of bytes differ from process to process, and one in 16,384 is taken for another's: not of these."""

    def __hash__(self) -> int:
        number = int(self.partition(b":")[2])
        return (number << 26) + number


@pytest.fixture
def lines() -> FieldLines:
    return FieldLines({b"host": KIND})


@pytest.mark.parametrize(
    "line, name, value, kind",
    [
        (b"Host: a", b"host", b"a", KIND),
        (b"HOST:\t a b \t", b"host", b"a b", KIND),
        (b"X-Any:", b"x-any", b"", PLAIN),
        (b"a:b:c", b"a", b"b:c", PLAIN),
    ],
)
def test_a_line_is_read_into_its_parts_and_known_when_it_came_again(
    lines: FieldLines, line: bytes, name: bytes, value: bytes, kind: int
) -> None:
    for is_known in (False, True):
        field = lines.read(line)
        assert field is not None
        assert (field.name, field.value, field.kind) == (name, value, kind)
        assert (lines.known.get(line) is field) is is_known


def test_the_kind_of_other_names_is_asked_for_once_and_that_by_value_for_each_line() -> None:
    asked: list[bytes] = []

    def kind_of_name(name: bytes) -> int:
        asked.append(name)
        return len(name)

    lines = FieldLines({b"host": KIND, b"by": BY_VALUE}, kind_of_name, lambda value: 10 + len(value))
    given = ((b"Host: a", KIND), (b"X-Y: abc ", 3), (b"x-y:", 3), (b"By: abc ", 13), (b"BY:", 10), (b"By: a", 11))
    for line, kind in given:
        field = lines.read(line)
        assert field is not None
        assert field.kind == kind
    assert asked == [b"x-y"]


def test_names_do_not_pile_up() -> None:
    asked: list[bytes] = []

    def kind_of_name(name: bytes) -> int:
        asked.append(name)
        return PLAIN

    lines = FieldLines({b"host": KIND}, kind_of_name)
    longest = b"x" * NAME_BYTES_MAX
    names = [longest, longest + b"x", *(b"x-%d" % number for number in range(2 * NAMES_MAX))]
    for name in (*names, *names):
        lines.read(name + b": 1")
    assert len(asked) == 2 * len(names) - (NAMES_MAX - 1)


@pytest.mark.parametrize("line", [b"", b"X", b": x", b"A : x", b" A: x", b"A: \x00", b"A: x\r", b"A: x\n", b"A: x\r\n"])
def test_a_malformed_line_is_refused_each_time(lines: FieldLines, line: bytes) -> None:
    """RFC 9112 5: field-line; 5.1: no space before the colon; RFC 9110 5.5: no control in a value."""
    assert lines.read(line) is None
    assert lines.read(line) is None
    assert line not in lines.known


def test_a_long_line_is_read_and_not_kept(lines: FieldLines) -> None:
    longest = b"A: " + b"x" * (LINE_BYTES_MAX - 3)
    for _ in range(3):
        assert lines.read(longest) is not None
        assert lines.read(longest + b"x") is not None
    assert list(lines.known) == [longest]


def test_lines_that_never_come_again_are_not_kept(lines: FieldLines) -> None:
    for number in range(3 * LINES_MAX):
        assert lines.read(NumberedLine(b"X-Id: %d" % number)) is not None
    assert not lines.known


def test_lines_that_came_again_do_not_pile_up(lines: FieldLines) -> None:
    sizes = set()
    for number in range(3 * LINES_MAX):
        for _ in range(2):
            assert lines.read(NumberedLine(b"X-Id: %d" % number)) is not None
        sizes.add(len(lines.known))
    assert max(sizes) == LINES_MAX


NAMES = b"Host Connection TE X-Request-Id Via Content-Length Accept Date Upgrade X-One X_One X-Real-IP X_Via".split()
VALUES = (b"a", b"b:80", b"close", b"3", b"keep-alive, X-One", b"trailers", b"", b"upgrade")
SECTIONS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)).map(lambda field: field[0] + b": " + field[1]),
    max_size=6,
)


def outcome(head: RequestHead | ResponseHead, data: bytes) -> tuple[object, ...]:
    """What a parse leaves, or the refusal."""
    try:
        if isinstance(head, RequestHead):
            head.parse(data, 32768, 8192, 128)
        else:
            head.parse(data, to_head_request=False)
    except Exception as error:
        return type(error), str(error)
    left = [getattr(head, name) for name in type(head).__slots__ if name not in ("lines", "known", "_sound_host")]
    if isinstance(head, RequestHead):
        left += [head.method, head.path]
    return tuple(left)


@given(st.lists(SECTIONS, min_size=2, max_size=5))
def test_what_came_before_changes_nothing_in_what_is_read(sections: list[list[bytes]]) -> None:
    """Each head in the company of others, over and over, against the same by a head that is new."""
    for start, make in ((b"GET /a?b HTTP/1.1\r\n", RequestHead), (b"HTTP/1.1 200 OK\r\n", ResponseHead)):
        used = make()
        for section in sections + sections[::-1]:
            data = start + b"".join(line + b"\r\n" for line in section) + b"\r\n"
            fresh = outcome(make(), data)
            seen = outcome(used, data)
            if isinstance(fresh[0], type):
                assert seen == fresh
                used = make()  # A refused head ends its connection.
            else:
                assert seen == fresh
