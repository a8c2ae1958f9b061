"""Texts that came from outside: which may be kept, and how they are shown where a control character would act."""

from __future__ import annotations

import re
from typing import Final

# C0 and C1 controls, DEL, line and paragraph separators, what turns the direction of text (Unicode TR 36;
# CVE-2021-42574), halves of a surrogate pair (bytes that were no UTF-8).
_ACTING: Final = r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
_CONTROL: Final = re.compile(_ACTING)
_CONTROL_IN_LINES: Final = re.compile(f"(?!\n){_ACTING}")
# What no store keeps: PostgreSQL has no NUL in a text, and neither has what is no UTF-8.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
# What begins a formula in a spreadsheet (OWASP, "CSV Injection").
_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # also as wide as a Chinese character
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def is_storable(text: str) -> bool:
    return _UNSTORABLE.search(text) is None


def is_plain(text: str) -> bool:
    """Nothing in it acts on who shows it."""
    return _CONTROL.search(text) is None


def escaped(text: str, *, in_lines: bool = False) -> str:
    """As it can be shown in a line: `\\x1b[31m`. With ``in_lines`` its line breaks stay."""
    return (_CONTROL_IN_LINES if in_lines else _CONTROL).sub(_escape, text)


def escaped_json(text: str) -> str:
    """JSON text with none of them: it has ASCII's own escaped anyway, and a terminal acts on others, too."""
    return _CONTROL_IN_LINES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def cell(value: object) -> object:
    """For a table that a spreadsheet opens. Numbers stay numbers; a text that would be taken for a formula gets a quote
    in front, which says that it is none."""
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    shown = escaped(value)
    # Spreadsheets skip white space before a formula; tabs and line ends among it are escaped by now.
    return f"'{shown}" if value.lstrip().startswith(_FORMULA) or value[:1] in ("\t", "\r", "\n") else shown


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return {0x09: r"\t", 0x0A: r"\n", 0x0D: r"\r"}.get(code) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
