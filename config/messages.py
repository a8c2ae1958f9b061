"""What pydantic finds, in words that say what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from config.errors import Unclear, shown


def message_of(item: Any) -> str:
    """Of one of a ValidationError's errors."""
    kind, value = item["type"], item.get("input")
    if kind not in _OF_KEYS and item["loc"][-1:] == ("sha256",):
        return _NO_DIGEST  # Not repeated: it may be the key itself.
    if isinstance(value, Unclear):
        return value.hint
    if kind == "value_error":
        return str(item["msg"]).removeprefix("Value error, ")
    say = _BY_KIND.get(kind)
    if say is not None:
        return say(item, value)
    message = str(item["msg"])
    return message[:1].lower() + message[1:]


_OF_KEYS: Final = ("missing", "extra_forbidden")
_NO_DIGEST: Final = "64 hex digits are needed, in quotes: the SHA-256 of the key"


def _unknown(item: Any, value: object) -> str:
    key = str(item["loc"][-1])
    return "unknown key: `x-` keys stand at the top only" if key.startswith("x-") else "unknown key"


def _whole(item: Any, value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return f"a whole number is needed: write {int(value)}"
    return f"a whole number is needed, not {shown(value)}{_unquoted(value)}"


def _number(item: Any, value: object) -> str:
    return f"a number is needed, not {shown(value)}{_unquoted(value)}"


def _truth(item: Any, value: object) -> str:
    return f"true or false is needed, not {shown(value)}{_unquoted(value)}"


def _text(item: Any, value: object) -> str:
    if isinstance(value, bool | int | float) or value is None:
        return f"text is needed, and this is {shown(value)}: quote it"
    return f"text is needed, not {shown(value)}"


def _unquoted(value: object) -> str:
    is_quoted = isinstance(value, str) and (value in ("true", "false") or value.isdecimal())
    return ": write it without quotes" if is_quoted else ""


def _range(item: Any, value: object) -> str:
    message = str(item["msg"])
    return f"{message[:1].lower()}{message[1:]}, and this is {shown(value)}"


_BY_KIND: Final[dict[str, Callable[[Any, object], str]]] = {
    "extra_forbidden": _unknown,
    "missing": lambda item, value: "is missing",
    "int_type": _whole,
    "int_parsing": _whole,
    "int_from_float": _whole,
    "float_type": _number,
    "float_parsing": _number,
    "finite_number": lambda item, value: "a number that ends is needed",
    "bool_type": _truth,
    "bool_parsing": _truth,
    "string_type": _text,
    "tuple_type": lambda item, value: f"a list is needed, not {shown(value)}",
    "dict_type": lambda item, value: f"a mapping is needed, not {shown(value)}",
    "model_type": lambda item, value: f"a mapping is needed, not {shown(value)}",
    "model_attributes_type": lambda item, value: f"a mapping is needed, not {shown(value)}",
    "string_pattern_mismatch": lambda item, value: f"{shown(value)} is not as {item['ctx']['pattern']}",
    **dict.fromkeys(("greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of"), _range),
}
