"""A fault says what to write instead, once, and repeats no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.loading import load_settings
from tests.config.test_loading import SOUND, write


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(folder, text))
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize("written", ["hunter2", '"hunter2"', "77777777", "0777", "0x7", "true", "[hunter2]"])
def test_what_stands_for_a_digest_is_not_repeated(tmp_path: Path, written: str) -> None:
    auth = f"auth: {{type: key, keys: [{{id: k, sha256: {written}}}]}}"
    (found,) = faults(tmp_path, SOUND.replace("qps: 400", f"qps: 400\n    {auth}", 1))
    assert found == "services[0].auth.keys[0].sha256: 64 hex digits are needed, in quotes: the SHA-256 of the key"


@pytest.mark.parametrize(
    "old, new, found",
    [
        (
            "charge: payg",
            "charge: free",
            "instances[1].charge: input should be 'payg'; or else a mapping is needed, not 'free'",
        ),
        ("charge: payg", "charge: {prepaid_months: 0}", "instances[1].charge"),
        ("services:\n", "services: {}\nx-was:\n", "services: a list is needed, not a mapping"),
        (
            "upstream: {network: internet, targets: [",
            "upstream: {network: internet, target: [",
            "services[0].upstream.target: unknown key",
        ),
        ("path: /catalogue", "path: [/catalogue]", "services[0].path: text is needed, not a list"),
        ("path: /catalogue", "path: ~", "services[0].path: text is needed, and this is null: quote it"),
        ("qps: 400", "qps: 400000", "services[0].qps: input should be less than or equal to 50000, and this is 400000"),
        ("drain: 3s", "drain: 366d", "drain: is not from 0s to 1h"),
        ("rate: 1,", "rate: 0,", "clock.rate: input should be greater than or equal to 0.001, and this is 0"),
    ],
)
def test_a_message_says_what_is_needed(tmp_path: Path, old: str, new: str, found: str) -> None:
    assert old in SOUND
    said = faults(tmp_path, SOUND.replace(old, new, 1))
    assert any(fault.startswith(found) for fault in said), said
    assert len({fault.partition(": ")[0] for fault in said}) == len(said)
