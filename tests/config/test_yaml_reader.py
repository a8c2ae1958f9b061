"""What is written is what is read, by every reader of YAML, or it is refused with what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.catalog import load_catalog
from config.documents import read_document, unclear_in
from config.errors import ConfigError
from config.loading import load_settings
from config.prices import load_price_book
from tests.config.test_loading import SOUND, write


def read(folder: Path, text: str | bytes) -> Any:
    path = folder / "document.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_document(path)


def fault(folder: Path, text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    (found,) = caught.value.faults
    return str(found).removeprefix(str(folder / "document.yaml"))


@pytest.mark.parametrize(
    "written, value",
    [
        ("100", 100),
        ("+100", 100),
        ("-1", -1),
        ("0", 0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("null", None),
        ('"0100"', "0100"),
        ("'no'", "no"),
        ("!!str 0100", "0100"),
        ("!!int 5", 5),
        ("y", "y"),
        ("1.2.3", "1.2.3"),
        ("10.0.0.1", "10.0.0.1"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-15T09:00:00+08:00", "2026-01-15T09:00:00+08:00"),
        ("30s", "30s"),
        ("<", "<"),
        ("=", "="),
    ],
)
def test_plain_scalars_are_those_of_the_core_schema(tmp_path: Path, written: str, value: object) -> None:
    found = read(tmp_path, f"a: {written}")["a"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    "written, hint",
    [
        ("0100", "write 100"),
        ("-0100", "write -100"),
        ("0o144", "write 100"),
        ("0x64", "write 100"),
        ("0b1100100", "write 100"),
        ("1_00", "write 100"),
        ("100.0", "write 100"),
        ("1e2", "write 100"),
        ('"100"', "without quotes"),
        ("1:40", "quote it"),
        (".inf", "no number that can be counted with"),
        (".nan", "no number that can be counted with"),
        ("1e999", "no number that can be counted with"),
        ("9" * 400, "too many digits"),
        ("true", "a whole number is needed, not true"),
        ("on", "write true"),
        ("[100]", "a whole number is needed, not a list"),
        ("{a: 1}", "a whole number is needed, not a mapping"),
    ],
)
@pytest.mark.parametrize("of", ["file", "catalog", "price book"])
def test_what_is_no_number_to_some_reader_is_none(tmp_path: Path, written: str, hint: str, of: str) -> None:
    texts = {
        "file": (SOUND, "qps: 400", "services[0].qps", load_settings),
        "catalog": (load(of), "services_max: 200", "shared.services_max", load_catalog),
        "price book": (load(of), "up_to: 10000000", "calls[0].up_to", load_price_book),
    }
    text, old, place, loader = texts[of]
    path = write(tmp_path, text.replace(old, f"{old.partition(':')[0]}: {written}", 1))
    with pytest.raises(ConfigError) as caught:
        loader(path)  # type: ignore[operator]
    (found,) = caught.value.faults
    assert (found.path, hint in found.message) == (place, True), found


def load(of: str) -> str:
    folder = Path(__file__).parents[2] / "config"
    return (folder / ("catalog.yaml" if of == "catalog" else "prices/usd.yaml")).read_text()


@pytest.mark.parametrize("written", ["yes", "No", "on", "OFF", '"true"', "1", "0", "null", "tRue"])
def test_nothing_but_true_and_false_is_a_truth_value(tmp_path: Path, written: str) -> None:
    text = SOUND.replace("path: /catalogue", f"path: /catalogue\n    strip_path: {written}", 1)
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, text))
    (found,) = caught.value.faults
    assert found.path == "services[0].strip_path"
    assert "true" in found.message or "false" in found.message


@pytest.mark.parametrize("written", ["no", "off", "1e3", "0123", "123", "1.5", "true", "null", "0x10", "1_0", "1:30"])
def test_an_id_that_is_no_text_to_some_reader_is_to_be_quoted(tmp_path: Path, written: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, SOUND.replace("id: catalogue", f"id: {written}", 1)))
    found = [fault for fault in caught.value.faults if fault.path == "services[0].id"]
    assert "quote it" in found[0].message
    quoted = load_settings(write(tmp_path, SOUND.replace("id: catalogue", 'id: "0123"', 1)))
    assert quoted.services[0].id == "0123"


def test_all_unclear_values_are_named_at_once_with_their_paths(tmp_path: Path) -> None:
    text = SOUND.replace("qps: 400", "qps: 0400\n    strip_path: yes", 1).replace("    workers: 1", "    workers: 0x1")
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, text))
    assert sorted(fault.path for fault in caught.value.faults) == [
        "instances[1].workers",
        "services[0].qps",
        "services[0].strip_path",
    ]


@pytest.mark.parametrize(
    "text, found",
    [
        ("a: 1\nb: 2\na: 3", ":3:1: the key 'a' stands twice"),
        ("no: 1", ":1:1: no is a truth value"),
        ("1: x", ":1:1: a key is text"),
        ("? [a]\n: 1", ":1:3: a key is text"),
        ("a: 1\n---\nb: 2", ":2:1: another document"),
        ("a: !!python/object/apply:os.system [x]", ":1:4: the tag !!python/object/apply:os.system"),
        ("a: !mine x", ":1:4: the tag !mine"),
        ("a: !!binary aGk=", ":1:4: the tag !!binary"),
        ('a: !!int "5"', ":1:4: the tag !!int"),
        ("a: !!set {b}", ":1:4: the tag !!set"),
        ("a: &x [*x]", ":1:4: an alias stands inside"),
        ("a: &x {b: {<<: *x}}", ":1:4: an alias stands inside"),
        ("a: *none", ":1:4: found undefined alias"),
        ("a:\n\t- b", ":2:1: found character that cannot start any token: there is a tab"),
        ("a: b\x07", ":1:5: holds the control character '\\x07'"),
        ("a: b\nc: d\x00", ":2:5: holds the control character '\\x00'"),
        (b"\xff\xfea\x00:\x00", ": is UTF-16"),
        (b"a: \xff", ": is not UTF-8"),
        ("&a a: " + "[" * 200 + "]" * 200, ":1:107: is nested deeper"),
        ("a: {<<: 5}", ":1:9: << takes a mapping"),
        ("a: {<<: [{b: 1}, 5]}", ":1:18: << takes a mapping"),
        ("a: {<<: *x}", ":1:9: found undefined alias"),
        ("a: {<<: {b: 1}, <<: {c: 1}}", ":1:17: the key << stands twice"),
        ("a: <<", ":1:4: the tag !!merge"),
    ],
)
def test_what_is_no_document_is_named_by_its_line(tmp_path: Path, text: str | bytes, found: str) -> None:
    assert fault(tmp_path, text).startswith(found)


def test_what_is_handed_on_without_a_model_is_looked_through(tmp_path: Path) -> None:
    document = read(tmp_path, "a: [1, {b: 0x1}]\nc: yes\nd: text\n")
    assert [fault.path for fault in unclear_in(document)] == ["a[1].b", "c"]
    (deep,) = unclear_in(read(tmp_path, "a: " + "[" * 900 + "]" * 900))
    assert str(deep) == "a[0][0]: is nested deeper than 100 levels"


def test_a_byte_order_mark_is_none_of_the_text(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeffa: 1") == {"a": 1}


@pytest.mark.parametrize("link", ["[*a , *a , *a ]", "{<<: [*a , *a , *a ], k: v}", "{x: *a , y: *a }"])
def test_aliases_of_aliases_are_counted_before_they_are_followed(tmp_path: Path, link: str) -> None:
    lines = [f"a{number}: &a{number} " + link.replace("*a", f"*a{number - 1}") for number in range(1, 30)]
    assert "with its aliases followed it has more than" in fault(tmp_path, "\n".join(["a0: &a0 {k: v}", *lines]))


def test_merged_keys_yield_to_own_ones_and_to_earlier_ones(tmp_path: Path) -> None:
    text = """\
x-one: &one {a: 1, b: 1}
x-two: &two {b: 2, c: 2}
own: {<<: *one, a: 0}
list: {<<: [*one, *two], d: 3}
late: {d: 3, <<: *two}
quoted: {"<<": 1}
"""
    assert read(tmp_path, text) == {
        "own": {"a": 0, "b": 1},
        "list": {"a": 1, "b": 1, "c": 2, "d": 3},
        "late": {"d": 3, "b": 2, "c": 2},
        "quoted": {"<<": 1},
    }


def test_a_file_is_written_with_defaults_of_its_own(tmp_path: Path) -> None:
    text = SOUND.replace("services:\n", "x-limits: &limits {qps: 300, wait_ms_max: 50}\nservices:\n", 1)
    text = text.replace("    qps: 400\n", "    <<: *limits\n    qps: 200\n", 1)
    service = load_settings(write(tmp_path, text)).services[0]
    assert (service.qps, service.wait_ms_max) == (200, 50)


def test_what_is_merged_is_as_strict_as_what_is_written(tmp_path: Path) -> None:
    text = SOUND.replace("services:\n", "x-limits: &limits {qps: 0300, colour: red}\nservices:\n", 1)
    text = text.replace("    qps: 400\n", "    <<: *limits\n", 1)
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, text))
    assert {fault.path for fault in caught.value.faults} == {"services[0].qps", "services[0].colour"}


def test_keys_of_ones_own_stand_at_the_top_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, SOUND.replace("    qps: 400\n", "    x-note: mine\n", 1)))
    (found,) = caught.value.faults
    assert (found.path, "at the top only" in found.message) == ("services[0].x-note", True)


def test_a_key_that_breaks_lines_breaks_no_line_of_the_report(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, SOUND + '"a\\nb": 1\n' + f"? {'c' * 5000}\n: 1\n"))
    assert len(caught.value.faults) == 2
    assert all(len(str(fault)) < 200 and "\n" not in str(fault) for fault in caught.value.faults)
