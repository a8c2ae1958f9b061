"""What came before is told from what did not, in bounded room."""

from gateway.http.repeats import PLACES, Repeats


class Text(bytes):
    """A text whose hash is its number."""

    def __hash__(self) -> int:
        return int(self)


def test_a_text_is_new_once() -> None:
    repeats = Repeats()
    assert [repeats.saw(bytes(bytearray(text))) for text in (b"a", b"b", b"a", b"a", b"b")] == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_one_on_the_same_place_takes_it() -> None:
    repeats = Repeats()
    one, other = Text(b"7"), Text(b"%d" % (7 + PLACES))
    assert [repeats.saw(text) for text in (one, other, other, one, one)] == [False, False, True, False, True]


def test_hashes_are_of_any_sign_and_size() -> None:
    repeats = Repeats()
    for number in (-2, 1 - 2**63, 2**61, 2**63 - 1, 2**62):
        assert [repeats.saw(Text(b"%d" % number)) for _ in range(2)] == [False, True]
