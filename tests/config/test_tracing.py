"""`tracing:` in the configuration: where spans go, how many, and what is said where that cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.loading import load_settings
from config.schema import Settings
from tests.gateway.control.configuration import config_text


def load(folder: Path, tracing: str) -> Settings:
    path = folder / "tollgate.yaml"
    path.write_text(config_text() + f"tracing: {tracing}\n")
    return load_settings(path)


@pytest.mark.parametrize(
    "endpoint, whole",
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("https://otlp.example/", "https://otlp.example/v1/traces"),
        ("http://[::1]:4318/of/its/own", "http://[::1]:4318/of/its/own"),
    ],
)
def test_an_endpoint_without_a_path_has_the_usual_one(tmp_path: Path, endpoint: str, whole: str) -> None:
    tracing = load(tmp_path, f'{{endpoint: "{endpoint}"}}').tracing
    assert tracing is not None
    assert (tracing.endpoint, tracing.sample, tracing.queue_max) == (whole, 0.01, 2048)


@pytest.mark.parametrize(
    "tracing, fault",
    [
        ("{}", "tracing.endpoint: is missing"),
        ('{endpoint: "127.0.0.1:4318"}', "tracing.endpoint: '127.0.0.1:4318' is no http or https url"),
        ('{endpoint: "http://x:99999"}', "tracing.endpoint: '99999' is no port"),
        ('{endpoint: "http://me:secret@x"}', "tracing.endpoint: the url has a name or password"),
        ('{endpoint: "http://x", sample: 1.5}', "tracing.sample: "),
        ('{endpoint: "http://x", queue_max: 0}', "tracing.queue_max: "),
        ('{endpoint: "http://x", share: 1}', "tracing.share: "),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, tracing: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, tracing)
    (found,) = map(str, caught.value.faults)
    assert found.startswith(fault)


def test_without_the_extra_it_says_which_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)  # What is not installed is found no better.
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, '{endpoint: "http://x"}')
    assert [str(fault) for fault in caught.value.faults] == [
        "tracing: needs the extra otel: pip install 'tollgate[otel]'"
    ]
