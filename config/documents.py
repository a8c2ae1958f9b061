"""YAML files into checked models, every mistake with its path."""

from __future__ import annotations

import gc
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from config.errors import ConfigError, Fault

M = TypeVar("M", bound=BaseModel)


# libyaml's scanner where PyYAML was built with it: on a file of 200,000 routes minutes become seconds.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]
    """Safe, and without silent last-one-wins for a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


@contextmanager
def without_collecting() -> Iterator[None]:
    """Millions of objects are made here and none is garbage: the collector would walk them again and again (x 3)."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_document(path: Path) -> Any:
    """The YAML of a file. Raises ConfigError naming the file, and the line where it is no YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ConfigError([Fault(str(path), str(reason))]) from None
    try:
        with without_collecting():
            return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError([Fault(place, error.problem or "is no YAML")]) from None
    except yaml.YAMLError as error:
        raise ConfigError([Fault(str(path), f"is no YAML: {error}")]) from None


def validated(model: type[M], document: Any) -> M:
    """The model of a document. Raises ConfigError with every structural fault."""
    if not isinstance(document, dict):
        raise ConfigError([Fault("", "a mapping of keys is needed at the top")])
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise ConfigError(faults_of(error)) from None


def faults_of(error: ValidationError) -> list[Fault]:
    """Pydantic's findings as ours. Tags of unions are left out of the path."""
    found = [(item, path_text(item["loc"])) for item in error.errors(include_url=False)]
    paths = [path for _, path in found]
    return [
        Fault(path, _message(item))
        for item, path in found
        # A list whose only item is faulty is called too short as well: one mistake, one line.
        if not (item["type"] == "too_short" and any(other.startswith(f"{path}[") for other in paths))
    ]


def path_text(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.startswith("function-") or part in ("payg", "constrained-str"):
            continue
        else:
            text += f".{part}" if text else part
    return text


def _message(item: Any) -> str:
    kind, message = item["type"], str(item["msg"])
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
