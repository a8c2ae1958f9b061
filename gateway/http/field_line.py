"""Field lines that came before (RFC 9112 5): messages repeat most of theirs, and a line is read once, not each time."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from gateway.http.grammar import FIELD, TCHAR
from gateway.http.repeats import Repeats

_NAME: Final = re.compile(TCHAR + rb"++")
PLAIN: Final = 0  # the kind of a field that the gateway passes on unread
BY_VALUE: Final = -1
_UNASKED: Final = -2
# Names that a worker knows the kind of. One more costs less than 1 us each time, so nobody gains by inventing some.
NAMES_MAX: Final = 1024
NAME_BYTES_MAX: Final = 64
# What one worker keeps: at the most 2 MiB of lines for each direction. Lines that never come again (ids, cookies of
# many clients) are not kept; others that come again empty the store now and then, which costs the next few messages
# what every one cost without it.
LINES_MAX: Final = 2048
LINE_BYTES_MAX: Final = 1024


class FieldLine:
    """One sound line. ``name`` in lower case, ``value`` without the white space around it; neither changes."""

    __slots__ = ("kind", "name", "value")

    def __init__(self, name: bytes, value: bytes, kind: int) -> None:
        self.name = name
        self.value = value
        self.kind = kind


def field_fault(line: bytes) -> str:
    """Which rule of RFC 9112 5 a line breaks that the grammar does not have. Says nothing of what is in it."""
    name, colon, _ = line.partition(b":")
    if line[:1] in (b" ", b"\t"):
        return "it is folded onto the one before"
    if not colon:
        return "it has no colon"
    if not name:
        return "it has no name"
    if name[-1:] in (b" ", b"\t"):
        return "white space before the colon"
    if _NAME.fullmatch(name) is None:
        return "a character in its name is not allowed"
    return "a control in its value"


def _is_plain(name: bytes) -> int:
    return PLAIN


class FieldLines:
    """The lines of one direction. ``kinds``: which names the gateway reads or drops, to what it knows them as.

    ``kind_of_name``: of one, in lower case, that is not there; asked once for each of the usual names.
    ``kind_of_value``: of a field that is ``BY_VALUE`` there.
    """

    __slots__ = ("_kind_of_name", "_kind_of_value", "_kinds", "_repeats", "known")

    def __init__(
        self,
        kinds: dict[bytes, int],
        kind_of_name: Callable[[bytes], int] = _is_plain,
        kind_of_value: Callable[[bytes], int] = _is_plain,
    ) -> None:
        self.known: dict[bytes, FieldLine] = {}  # by the whole line without its CRLF
        self._kinds = dict(kinds)  # and what was asked for
        self._kind_of_name = kind_of_name
        self._kind_of_value = kind_of_value
        self._repeats = Repeats()

    def read(self, line: bytes) -> FieldLine | None:
        """A line that is not known; None where the grammar does not have it."""
        if FIELD.fullmatch(line) is None:
            return None
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        kind = self._kinds.get(name, _UNASKED)
        if kind < 0:
            kind = self._ask_for_kind(name) if kind == _UNASKED else self._kind_of_value(value)
        field = FieldLine(name, value, kind)
        if len(line) <= LINE_BYTES_MAX and self._repeats.saw(line):
            if len(self.known) >= LINES_MAX:
                self.known.clear()
            self.known[line] = field
        return field

    def _ask_for_kind(self, name: bytes) -> int:
        kind = self._kind_of_name(name)
        if len(name) <= NAME_BYTES_MAX and len(self._kinds) < NAMES_MAX:
            self._kinds[name] = kind
        return kind
