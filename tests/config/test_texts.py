"""Texts from outside, where they would act on who shows them."""

import pytest

from config.texts import cell, escaped, is_plain, is_storable


@pytest.mark.parametrize(
    "text, shown",
    [
        ("acme 你好 é 💶", "acme 你好 é 💶"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\nb\r\tc\x00", r"a\nb\r\tc\x00"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("\u202egnp.exe\u2066", r"\u202egnp.exe\u2066"),
        ("\u2028\udcff", r"\u2028\udcff"),
    ],
)
def test_a_control_character_is_shown_and_does_not_act(text: str, shown: str) -> None:
    assert escaped(text) == shown
    assert is_plain(text) == (text == shown)
    assert is_plain(shown)


def test_lines_stay_lines_where_there_may_be_several() -> None:
    assert escaped("a\n\x1bb\r\n", in_lines=True) == "a\n\\x1bb\\r\n"


@pytest.mark.parametrize("text, fits", [("a\x01", True), ("a\x00", False), ("\ud800", False), ("\U0010ffff", True)])
def test_no_store_keeps_nul_or_half_a_character(text: str, fits: bool) -> None:
    assert is_storable(text) is fits


@pytest.mark.parametrize(
    "value, kept",
    [
        ("=1+1", "'=1+1"), ("+1", "'+1"), ("@SUM(A1)", "'@SUM(A1)"), ("-2+3+cmd|'/C'!A0", "'-2+3+cmd|'/C'!A0"),
        ("\t=1", "'\\t=1"), ("\r=1", "'\\r=1"), ("\n=1", "'\\n=1"), ("  =1", "'  =1"), ("＝1", "'＝1"), ("-", "'-"),
        ("acme", "acme"), ("a=b", "a=b"), ("", ""), ("a\x1b", "a\\x1b"),
        ("-1.00000000", "-1.00000000"), ("12", "12"), (-5, -5), (None, None), (True, True),
    ],
)  # fmt: skip
def test_a_cell_is_no_formula_and_a_number_stays_one(value: object, kept: object) -> None:
    assert cell(value) == kept
