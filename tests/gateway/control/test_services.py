"""Services of the file and over the API, and what stays of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from config.catalog import load_catalog
from config.loading import load_settings
from config.schema import Settings
from gateway.control.errors import Refusal
from gateway.control.services import ServiceBook
from tests.gateway.control.configuration import config_text, service, write_config

CATALOG = load_catalog()


def open_book(folder: Path) -> ServiceBook:
    settings = load_settings(folder / "tollgate.yaml")
    book = ServiceBook(folder / "data", settings, CATALOG)
    assert book.load(settings, CATALOG) == []
    return book


@pytest.fixture
def book(tmp_path: Path) -> ServiceBook:
    write_config(tmp_path)
    return open_book(tmp_path)


def ids(book: ServiceBook) -> list[str]:
    return [one.id for one in book.services()]


def test_a_service_made_over_the_api_is_there_after_a_restart(book: ServiceBook, tmp_path: Path) -> None:
    made = book.add(service("extra", qps=10))
    assert (made["path"], made["source"]) == ("/extra", "api")
    assert ids(open_book(tmp_path)) == ["orders", "checkout", "extra"]


def test_what_is_listed_can_be_handed_in_again(book: ServiceBook) -> None:
    book.add(service("extra", qps=10))
    listed = next(one for one in book.describe() if one["id"] == "extra")
    del listed["source"]
    assert book.change("extra", dict(listed)) == {**listed, "source": "api"}


def test_a_changed_and_a_removed_service_stay_so(book: ServiceBook, tmp_path: Path) -> None:
    book.add(service("one"))
    book.add(service("two"))
    book.change("one", service("one", qps=5))
    book.remove("two")
    again = open_book(tmp_path)
    assert ids(again) == ["orders", "checkout", "one"]
    assert again.services()[-1].qps == 5


def add(document: dict[str, Any]) -> Any:
    return lambda book: book.add(document)


@pytest.mark.parametrize(
    "act, code",
    [
        pytest.param(add(service("orders")), "exists", id="an id of the file"),
        pytest.param(add(service("extra", path="/orders")), "invalid", id="a path that is taken"),
        pytest.param(add(service("extra", instance="none")), "invalid", id="no such instance"),
        pytest.param(add(service("extra", qps=301)), "invalid", id="more than the instance has"),
        pytest.param(add({"id": "extra"}), "invalid", id="half a service"),
        pytest.param(lambda book: book.change("orders", service("orders")), "from_file", id="change of the file's"),
        pytest.param(lambda book: book.remove("orders"), "from_file", id="removal of the file's"),
        pytest.param(lambda book: book.remove("none"), "not_found", id="removal of none"),
        pytest.param(lambda book: book.change("none", service("none")), "not_found", id="change of none"),
    ],
)
def test_a_refusal_changes_nothing(book: ServiceBook, tmp_path: Path, act: Any, code: str) -> None:
    revision = book.revision
    with pytest.raises(Refusal) as refused:
        act(book)
    assert refused.value.code == code
    assert ids(book) == ids(open_book(tmp_path)) == ["orders", "checkout"]
    assert book.revision == revision


def test_an_id_does_not_change(book: ServiceBook) -> None:
    book.add(service("one"))
    with pytest.raises(Refusal) as refused:
        book.change("one", service("two"))
    assert [fault.path for fault in refused.value.faults] == ["id"]


def test_one_service_more_than_the_instance_takes_is_refused(tmp_path: Path) -> None:
    settings = load_settings(write_config(tmp_path))
    small = CATALOG.model_copy(update={"shared": CATALOG.shared.model_copy(update={"services_max": 3})})
    book = ServiceBook(tmp_path / "data", settings, small)
    book.load(settings, small)
    book.add(service("two"))
    book.add(service("three"))
    with pytest.raises(Refusal) as refused:
        book.add(service("four"))
    assert refused.value.code == "service_limit"
    book.change("three", service("three", qps=7))  # no further one


def reload(book: ServiceBook, folder: Path, text: str) -> tuple[Settings, list[str]]:
    (folder / "tollgate.yaml").write_text(text)
    settings = load_settings(folder / "tollgate.yaml")
    return settings, [str(fault) for fault in book.load(settings, CATALOG)]


def test_one_that_the_new_file_clashes_with_is_kept_and_not_served(book: ServiceBook, tmp_path: Path) -> None:
    book.add(service("extra", path="/extra"))
    clashing = config_text().replace("  - id: orders\n", "  - id: orders\n    path: /extra\n")
    _, faults = reload(book, tmp_path, clashing)
    assert len(faults) == 1 and "extra" in faults[0]
    assert ids(book) == ["orders", "checkout"]
    assert [one["id"] for one in json.loads((tmp_path / "data" / "services.json").read_text())["services"]] == ["extra"]

    _, faults = reload(book, tmp_path, config_text())
    assert faults == []
    assert ids(book) == ["orders", "checkout", "extra"]
