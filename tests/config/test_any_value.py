"""Whatever stands at a place of the file: it is a fault with a path, or every later step can carry it."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import config
from config.catalog import load_catalog
from config.documents import read_document
from config.errors import ConfigError
from config.loading import load_settings
from gateway.control.snapshot import compile_snapshots

EXAMPLE = Path(config.__file__).parent / "example.yaml"
SEED = 20261130
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 10**18, 10**30, 1.5),
    *("", "a", "1", "\0", "a\nb", "\u2028", "é", "a" * 300, "a" * 100_000, "%", "{", "null", "x-", "<<"),
    *([], {}, [[]], [None], [1], [{}], {"a": 1}, {"prepaid_months": 1}),
    *("-1s", "0s", "1ms", "99999999d", "10GiB", "0B", "2026-01-15T09:00:00+08:00", "9999-01-01T00:00:00+00:00"),
    *("http://a", "http://127.0.0.1:8080", "https://*.a.b", "http://a?b", "sqlite:///x", "postgresql://a/b", "a@b"),
    *("*", "*.a", "::1", "[::1]", "[::]:8081", "127.0.0.1:8081", "1.2.3.4", "10.0.0.0/8", "0.0.0.0/0"),
    *("/", "//", "/a/{b}", "/{a+}", "/*", "/*:x", "/{a=b/*/**}", "/%41", "/é{ü}.x"),
    *("GET", "get", "CONNECT", "shared", "dedicated", "payg", "internet", "key", "usd", "UTC", "1.2"),
)


def places(document: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        yield (*at, key)
        if isinstance(value, dict | list):
            yield from places(value, (*at, key))


def changed(document: Any, at: tuple[str | int, ...], value: Any) -> Any:
    made = copy.deepcopy(document)
    found = made
    for key in at[:-1]:
        found = found[key]
    found[at[-1]] = value
    return made


def test_no_value_at_any_place_is_a_traceback_or_more_than_can_be_served(tmp_path: Path) -> None:
    file = tmp_path / "tollgate.yaml"
    sound = read_document(EXAMPLE)
    choose = random.Random(SEED)
    catalog = load_catalog()
    served = 0
    for at in places(sound):
        for value in (None, *choose.sample(VALUES, 2)):
            file.write_text(json.dumps(changed(sound, at, value)))  # JSON is YAML too.
            try:
                settings = load_settings(file)
            except ConfigError as error:
                for fault in error.faults:
                    assert str(fault).isprintable(), (at, value, fault)
                    assert len(str(fault)) < 600, (at, str(value)[:40])
                continue
            slots: dict[tuple[str, str], int] = {}
            entitled = {instance.id: True for instance in settings.instances}
            compile_snapshots(
                settings,
                catalog,
                settings.services,
                entitled,
                lambda pool, name, slots=slots: slots.setdefault((pool, name), len(slots)),  # type: ignore[misc]
            )
            settings.model_dump_json()
            served += 1
    assert served > 20
