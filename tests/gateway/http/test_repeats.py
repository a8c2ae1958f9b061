"""What came before is told from what did not, in bounded room.

Python's hashes of bytes differ from process to process; what is asked here has the same ones in each.
"""

from __future__ import annotations

import random

from gateway.http.repeats import PLACES, Repeats


class Text(bytes):
    """A text whose hash is its number."""

    def __hash__(self) -> int:
        return int(self)


def test_a_text_is_seen_when_it_comes_again_and_forgotten_then() -> None:
    """Whoever asked keeps it from then on."""
    repeats = Repeats()
    texts = (b"1", b"2", b"1", b"2", b"1", b"1")
    assert [repeats.saw(Text(text)) for text in texts] == [False, False, True, True, False, True]


def test_one_on_the_same_place_takes_it_in_the_end() -> None:
    repeats = Repeats()
    one, other = Text(b"8"), Text(b"%d" % (8 + (1 << 26)))
    assert [repeats.saw(text) for text in (one, other, other, one)] == [False, False, False, True]
    assert [repeats.saw(text) for text in (one, *[other] * 4, one, other)] == [False] * 6 + [True]


def test_all_that_come_in_turn_are_seen_though_they_share_places() -> None:
    """Four of each place but one here."""
    repeats = Repeats(16)
    left = {Text(b"%d" % ((number << 26) + number % 16)) for number in range(1, 64)}
    for _ in range(12):
        left -= {text for text in sorted(left, key=int) if repeats.saw(text)}
    assert not left


def test_what_never_comes_again_is_hardly_ever_seen() -> None:
    """One in 16,384 is, for another: six of these, more or less."""
    repeats = Repeats(16)
    hashes = random.Random(7)
    seen = sum(repeats.saw(Text(b"%d" % hashes.getrandbits(62))) for _ in range(100_000))
    assert 0 < seen < 20


def test_texts_of_one_place_are_told_apart_by_fourteen_bits() -> None:
    for bit in range(26, 40):
        repeats = Repeats()
        assert [repeats.saw(Text(b"%d" % number)) for number in (8, 8 + (1 << bit), 8)] == [False, False, True], bit


def test_every_place_is_one_of_its_own() -> None:
    repeats = Repeats()
    texts = [Text(b"%d" % ((place << 26) + place)) for place in range(PLACES)]
    assert not any(map(repeats.saw, texts))
    assert all(map(repeats.saw, texts))


def test_hashes_are_of_any_sign_and_size() -> None:
    repeats = Repeats()
    for number in (-2, 1 - 2**63, 2**61, 2**63 - 1, 2**62):
        assert [repeats.saw(Text(b"%d" % number)) for _ in range(2)] == [False, True]
