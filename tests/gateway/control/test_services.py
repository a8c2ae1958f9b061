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
    assert book.change("extra", dict(listed)) == listed
    assert book.change("extra", {**listed, "qps": 11}) == {**listed, "qps": 11}
    for changed in ({"source": "file"}, {"not_served": "x"}):
        with pytest.raises(Refusal) as refused:
            book.change("extra", {**listed, **changed})
        assert [fault.path for fault in refused.value.faults] == list(changed)
    book.add({**listed, "id": "copy", "path": "/copy"})


def test_everything_that_a_service_can_be_is_handed_in_again_as_it_is_listed(book: ServiceBook) -> None:
    upstream = {
        "targets": [{"url": "http://127.0.0.1:19001", "weight": 3}],
        "health": {"path": "/h", "interval": "500ms"},
        "timeouts": {"connect": "1s", "idle": "2d"},
        "pool_idle": "90s",
    }
    key = {"id": "k", "sha256": "A" * 64, "qps": 3, "quota": {"calls": 5, "per": "day"}}
    more = {
        "hosts": ["A.example", "*.b.example"],
        "auth": {"type": "key", "keys": [key]},
        "cors": {"origins": ["*"], "max_age": "1h"},
        "allow": ["10.0.0.0/8", "::1/128"],
        "routes": [{"id": "r", "path": "/x/*", "methods": ["GET"], "qps": 2}],
    }
    book.add(service("full", **more, upstream=upstream))
    (listed,) = [one for one in book.describe() if one["id"] == "full"]
    assert book.change("full", json.loads(json.dumps(listed))) == listed


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
    shown = {one["id"]: one["not_served"] for one in book.describe()}
    assert (shown["orders"], "service orders's" in shown["extra"]) == (None, True)

    _, faults = reload(book, tmp_path, config_text())
    assert faults == []
    assert ids(book) == ["orders", "checkout", "extra"]


@pytest.mark.parametrize(
    "old, new, reason",
    [
        pytest.param("qps: 300", "qps: 50", "qps", id="less than it has"),
        pytest.param("  - id: orders\n", "  - id: orders\n    path: /extra\n", "path", id="its path"),
        pytest.param("id: checkout,", "id: extra, path: /e,", "another service", id="its id"),
    ],
)
def test_a_file_that_leaves_no_place_for_one_that_is_served_is_told_of(
    book: ServiceBook, tmp_path: Path, old: str, new: str, reason: str
) -> None:
    book.add(service("extra", qps=60))
    text = config_text().replace("qps: 100", "qps: 40").replace(", qps: 50", "").replace(old, new)
    (tmp_path / "tollgate.yaml").write_text(text)
    reading = book.read(load_settings(tmp_path / "tollgate.yaml"), CATALOG)
    (fault,) = book.lost(reading)
    assert fault.path.startswith("services.json: extra") and reason in str(fault)
    assert "extra" in ids(book), "nothing is changed yet"
    # At a start nothing is served yet.
    fresh = ServiceBook(tmp_path / "data", reading.settings, CATALOG)
    assert fresh.lost(reading) == []
    assert len(fresh.follow(reading)) == fresh.not_served == 1


def test_one_whose_instance_goes_goes_with_it(book: ServiceBook, tmp_path: Path) -> None:
    book.add(service("extra", instance="acme-dedicated", path="/x"))
    text = config_text().split("  - id: acme-dedicated")[0] + "services: []\n"
    (tmp_path / "tollgate.yaml").write_text(text)
    reading = book.read(load_settings(tmp_path / "tollgate.yaml"), CATALOG)
    assert book.lost(reading) == []
    assert "acme-dedicated" in str(book.follow(reading))


def test_an_id_that_the_file_took_is_the_files_and_the_other_can_only_be_deleted(
    book: ServiceBook, tmp_path: Path
) -> None:
    book.add(service("extra"))
    reload(book, tmp_path, config_text().replace("id: checkout,", "id: extra, path: /e,"))
    assert [(one["id"], one["source"]) for one in book.describe()][1:] == [("extra", "file"), ("extra", "api")]
    with pytest.raises(Refusal) as refused:
        book.change("extra", service("extra", path="/other"))
    assert refused.value.code == "exists"
    book.remove("extra")
    assert (ids(book), book.not_served) == (["orders", "extra"], 0)
