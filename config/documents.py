"""YAML files into checked models, every mistake with its path."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from config.errors import ConfigError, Fault, Unclear, shown
from config.messages import message_of
from config.yaml_reader import DEPTH_MAX, Loader

M = TypeVar("M", bound=BaseModel)


# Keys that the file made up are quoted where they are none that a path could show.
_PLAIN_KEY: Final = re.compile(r"[^\W\d][\w-]{0,63}|[A-Za-z0-9._-]{1,64}")
# A node of 2,000 services with 100 routes each is told in 20 MiB.
FILE_BYTES_MAX: Final = 256 << 20
# What YAML takes (1.2, section 5.1), and of it nothing that ends a line unseen.
_NO_TEXT: Final = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no path"
        raise ConfigError([Fault(str(path), str(reason))]) from None
    return parse_document(content, str(path))


def parse_document(content: bytes, name: str) -> Any:
    """YAML, or JSON, less the `x-` keys at the top, which hold what is merged elsewhere.

    Raises ConfigError with `name`, and the line where it is no YAML.
    """
    text = _text_of(content, name)
    try:
        with without_collecting():
            document = _loaded(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise ConfigError([Fault(place, _problem(error, text))]) from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = "is nested too deep" if isinstance(error, RecursionError) else f"is no YAML: {error}"
        raise ConfigError([Fault(name, reason)]) from None
    if isinstance(document, dict):
        return {key: value for key, value in document.items() if not key.startswith("x-")}
    return document


def unclear_in(document: Any, location: tuple[int | str, ...] = ()) -> Iterator[Fault]:
    """The faults of a document that is handed on as it is, without a model that would find them."""
    if isinstance(document, Unclear):
        yield Fault(path_text(location), document.hint)
    elif len(location) > DEPTH_MAX:
        yield Fault(path_text(location[:3]), f"is nested deeper than {DEPTH_MAX} levels")
    elif isinstance(document, dict):
        for key, value in document.items():
            yield from unclear_in(value, (*location, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from unclear_in(value, (*location, index))


def _loaded(text: str) -> Any:
    loader = Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _text_of(content: bytes, name: str) -> str:
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError([Fault(name, f"is longer than {FILE_BYTES_MAX} bytes")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        is_utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        reason = "is UTF-16: save it as UTF-8" if is_utf16 else "is not UTF-8 text"
        raise ConfigError([Fault(name, reason)]) from None
    bad = _NO_TEXT.search(text)
    if bad is not None:
        line, column = text.count("\n", 0, bad.start()) + 1, bad.start() - text.rfind("\n", 0, bad.start())
        raise ConfigError([Fault(f"{name}:{line}:{column}", f"holds the control character {bad[0]!r}")])
    return text


def _problem(error: yaml.MarkedYAMLError, text: str) -> str:
    problem = str(error.problem or "is no YAML")
    if "another document" in problem:
        return "another document begins here: a file is one"
    mark = error.problem_mark
    lines = text.splitlines()
    if mark is not None and mark.line < len(lines) and "\t" in lines[mark.line][: mark.column + 1]:
        return f"{problem}: there is a tab, and indentation is by spaces"
    return problem


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
    lists = {path[: mark.start()] for _, path in found for mark in re.finditer(r"\[", path)}
    faults: dict[str, str] = {}
    for item, path in found:
        # A list whose only item is faulty is called too short as well: one mistake, one line.
        if item["type"] == "too_short" and path in lists:
            continue
        message = message_of(item)
        # Of a value that may be of two types, each says why it is none of its own.
        before = faults.get(path)
        faults[path] = message if before is None or before == message else f"{before}; or else {message}"
    return [Fault(path, message) for path, message in faults.items()]


def path_text(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.startswith(("function-", "literal[")) or part in ("payg", "constrained-str", "[key]", "Prepaid"):
            continue
        else:
            name = part if _PLAIN_KEY.fullmatch(part) else shown(part)
            text += f".{name}" if text else name
    return text
