"""Field lines that came before (RFC 9112 5): messages repeat most of theirs, and a line is read once, not each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.http.grammar import FIELD
from gateway.http.repeats import Repeats

PLAIN: Final = 0  # the kind of a field that the gateway passes on unread
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


def _is_plain(name: bytes, value: bytes) -> int:
    return PLAIN


class FieldLines:
    """The lines of one direction. ``kinds``: which names the gateway reads or drops, to what it knows them as.

    ``other_kind``: of a name, in lower case, that is not there, and its value.
    """

    __slots__ = ("_kinds", "_other_kind", "_repeats", "known")

    def __init__(self, kinds: dict[bytes, int], other_kind: Callable[[bytes, bytes], int] = _is_plain) -> None:
        self.known: dict[bytes, FieldLine] = {}  # by the whole line without its CRLF
        self._kinds = kinds
        self._other_kind = other_kind
        self._repeats = Repeats()

    def read(self, line: bytes) -> FieldLine | None:
        """A line that is not known; None where the grammar does not have it."""
        if FIELD.fullmatch(line) is None:
            return None
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        kind = self._kinds.get(name)
        field = FieldLine(name, value, self._other_kind(name, value) if kind is None else kind)
        if len(line) <= LINE_BYTES_MAX and self._repeats.saw(line):
            if len(self.known) >= LINES_MAX:
                self.known.clear()
            self.known[line] = field
        return field
