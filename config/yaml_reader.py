"""YAML as it is written: no spelling that one reader of YAML takes for another value than the next.

The core schema of YAML 1.2 (section 10.3.2) decides what a plain scalar is. What readers of YAML 1.1 take for something
else, or the reverse, is refused with a hint: `0100` was 64 and is 100, `on` was true and is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite
from typing import Any, ClassVar, Final

import yaml

from config.errors import Unclear, shown

# With aliases followed: a file of 200,000 routes has about 3 million, a few lines of aliases to aliases any number.
NODES_MAX: Final = 5_000_000
DEPTH_MAX: Final = 100  # The deepest place that a configuration has is 9 down.
# Longer than any number that is carried: of 64 bits, or a share.
_DIGITS_MAX: Final = 20

_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BOOL: Final = re.compile(r"true|True|TRUE|false|False|FALSE")
_NULL: Final = re.compile(r"null|Null|NULL|~|")
# YAML 1.1 has more (https://yaml.org/type/): other truth values, zeros in front and 0o for octal, 0x, 0b, `_` between
# digits, `:` for sixties; and both have numbers that are none.
_OTHER_BOOL: Final = re.compile(r"(?i:yes|no|on|off)")
_OTHER_NUMBER: Final = re.compile(
    r"[-+]?(?:0o[0-7_]+|0x[0-9A-Fa-f_]+|0b[01_]+|0[0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?"
    r"|\.[0-9_]+|(?i:\.inf))|(?i:\.nan)"
)
_SIXTIES: Final = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")

_TAG: Final = "tag:yaml.org,2002:"
_MERGE: Final = _TAG + "merge"
_STR: Final = _TAG + "str"
_UNCLEAR: Final = _TAG + "tollgate/unclear"
_BY_FIRST: Final = (
    ("-+.0123456789", _INT, _TAG + "int"),
    ("-+.0123456789", _FLOAT, _TAG + "float"),
    ("-+.0123456789", _OTHER_NUMBER, _UNCLEAR),
    ("-+0123456789", _SIXTIES, _UNCLEAR),
    ("tTfF", _BOOL, _TAG + "bool"),
    ("yYnNoO", _OTHER_BOOL, _UNCLEAR),
    ("nN~", _NULL, _TAG + "null"),
    ("<", re.compile("<<"), _MERGE),
)


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {"": [(_TAG + "null", re.compile(r"\Z"))]}
    for firsts, pattern, tag in _BY_FIRST:
        for first in firsts:
            found.setdefault(first, []).append((tag, re.compile(rf"(?:{pattern.pattern})\Z")))
    return found


# libyaml's scanner where PyYAML was built with it: on a file of 200,000 routes minutes become seconds.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(_SafeLoader):  # type: ignore[misc]
    """Safe: makes text, numbers, truth values, lists and mappings, and nothing else."""

    yaml_implicit_resolvers = _resolvers()
    yaml_constructors: ClassVar[dict[str | None, Any]] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._has_aliases = "&" in text  # Without one, what is read is as long as the file.

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None and self._has_aliases:
            _Extent().measure(node)
        return node

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise _error(node, "a mapping is needed")
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        has_merge = False
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                if has_merge:
                    raise _error(key_node, "the key << stands twice: merge a list of mappings, << : [*one, *other]")
                has_merge = True
                for source in reversed(_merged(value_node)):  # The first of a list wins.
                    merged |= self.construct_mapping(source, deep=True)
                continue
            key = self._key(key_node)
            if key in own:
                raise _error(key_node, f"the key {shown(key)} stands twice")
            own[key] = self.construct_object(value_node, deep=deep)
        return merged | own if has_merge else own

    def _key(self, node: yaml.Node) -> str:
        if node.tag == _STR and isinstance(node, yaml.ScalarNode):
            return str(node.value)
        if not isinstance(node, yaml.ScalarNode):
            raise _error(node, "a key is text")
        key = self.construct_object(node)
        if isinstance(key, Unclear):
            raise _error(node, key.hint)
        if not isinstance(key, str):
            raise _error(node, f'a key is text: quote it, "{str(node.value)[:80]}"')
        return key

    def _mapping(self, node: yaml.Node) -> Iterator[dict[str, Any]]:
        made: dict[str, Any] = {}
        yield made
        made.update(self.construct_mapping(node))

    def _list(self, node: yaml.Node) -> Iterator[list[Any]]:
        made: list[Any] = []
        yield made
        made.extend(self.construct_sequence(node))

    def _number(self, node: yaml.ScalarNode) -> int | float | Unclear:
        text = _plain(node)
        if len(text) > _DIGITS_MAX:
            return Unclear(text, "a number of too many digits: quote it, if it is text")
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text) and isfinite(float(text)):
            return float(text)
        return self._unclear(node)

    def _truth(self, node: yaml.ScalarNode) -> bool | Unclear:
        text = _plain(node)
        return text.lower() == "true" if _BOOL.fullmatch(text) else self._unclear(node)

    def _null(self, node: yaml.ScalarNode) -> None:
        if not _NULL.fullmatch(_plain(node)):
            raise _error(node, "is not null")

    def _text(self, node: yaml.ScalarNode) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise _error(node, "text is needed")
        return str(node.value)

    def _unclear(self, node: yaml.ScalarNode) -> Unclear:
        text = str(node.value)
        if _OTHER_BOOL.fullmatch(text):
            meant = "true" if text.lower() in ("yes", "on") else "false"
            return Unclear(text, f"{text} is a truth value to some and text to others: write {meant}, or quote it")
        plain = text.replace("_", "")
        number = re.fullmatch(r"([-+]?)0*([0-9]+(?:\.[0-9]*)?)", plain)
        if number is None and (match := re.fullmatch(r"0[ox][0-9A-Fa-f]+|0b[01]+", plain)) and len(plain) < _DIGITS_MAX:
            hint = f"write {int(match[0], 0)}, or quote it"
        elif number is not None and number[2].isdigit():
            hint = f"write {number[1]}{number[2]}, or quote it"
        else:
            hint = "quote it, if it is text"
        if re.search(r"(?i)inf|nan", text) or _FLOAT.fullmatch(text):
            return Unclear(text, f"{text[:40]} is no number that can be counted with: {hint}")
        return Unclear(text, f"{text[:40]} is not one value to every reader of YAML: {hint}")

    def _other(self, node: yaml.Node) -> None:
        raise _tagged(node)


Loader.yaml_constructors = {
    _TAG + "map": Loader._mapping,
    _TAG + "seq": Loader._list,
    _STR: Loader._text,
    _TAG + "int": Loader._number,
    _TAG + "float": Loader._number,
    _TAG + "bool": Loader._truth,
    _TAG + "null": Loader._null,
    _UNCLEAR: Loader._unclear,
    _MERGE: Loader._other,
    None: Loader._other,
}


class _Extent:
    """How many nodes there are when every alias is followed, counted once for each anchor."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._open: set[int] = set()

    def measure(self, node: yaml.Node, depth: int = 0) -> int:
        """Raises a MarkedYAMLError where there are too many, too deep, or an alias stands inside its own anchor."""
        key = id(node)
        if key in self._open:
            raise _error(node, "an alias stands inside what it is an alias of")
        known = self._counts.get(key)
        if known is not None:
            return known
        if depth > DEPTH_MAX:
            raise _error(node, f"is nested deeper than {DEPTH_MAX} levels")
        count = 1
        if not isinstance(node, yaml.ScalarNode):
            self._open.add(key)
            for child in _children(node):
                count += self.measure(child, depth + 1)
            self._open.discard(key)
        if count > NODES_MAX:
            raise _error(node, f"with its aliases followed it has more than {NODES_MAX} values")
        self._counts[key] = count
        return count


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    for item in node.value:
        if isinstance(node, yaml.MappingNode):
            yield from item
        else:
            yield item


def _merged(node: yaml.Node) -> list[yaml.MappingNode]:
    sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
    for source in sources:
        if not isinstance(source, yaml.MappingNode):
            raise _error(source, "<< takes a mapping, or a list of them: << : *defaults")
    return list(sources)


def _plain(node: yaml.Node) -> str:
    """The text of a scalar that says no more than it is: with a tag, quotes may stand around a number."""
    if not isinstance(node, yaml.ScalarNode) or node.style in ("'", '"', "|", ">"):
        raise _tagged(node)
    return str(node.value)


def _tagged(node: yaml.Node) -> yaml.MarkedYAMLError:
    tag = str(node.tag).replace(_TAG, "!!")
    return _error(node, f"the tag {tag[:80]} is not taken here: only !!str is")


def _error(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
