"""Settings that stay as they were at the start, one by one."""

from pathlib import Path

import pytest

from config.catalog import load_catalog
from config.loading import load_settings
from config.prices import load_price_book
from config.schema import Settings
from gateway.control.errors import StartError
from gateway.control.fixed import as_at_start, changed_files, require_catalog, under
from tests.gateway.control.configuration import config_text, write_config

USD = load_price_book("usd")


def settings_of(folder: Path, old: str = "version: 1", new: str = "version: 1") -> Settings:
    text = config_text()
    assert old in text
    (folder / "tollgate.yaml").write_text(text.replace(old, new))
    return load_settings(folder / "tollgate.yaml")


@pytest.mark.parametrize(
    "old, new, changed",
    [
        ("data_dir: ./data", "data_dir: ./other", ["node.data_dir"]),
        ("name: node-1", "name: node-2", ["node.name"]),
        ("/tollgate.db", "/other.db", ["store.url"]),
        ("127.0.0.1:18081", "127.0.0.1:18082", ["admin.bind"]),
        ("clock: {rate: 1}", "clock: {rate: 60, offset: 5s}", ["clock.rate", "clock.offset"]),
        ("clock: {rate: 1}", "billing: {timezone: UTC, egress_basis: wire}",
         ["billing.timezone", "billing.egress_basis"]),
        ("18081\"}", "18081\", hosts: [a.example]}", ["admin.hosts"]),
        ("drain: 2s", "drain: 3s", []),
    ],
)  # fmt: skip
def test_what_is_fixed_stays_and_is_named(tmp_path: Path, old: str, new: str, changed: list[str]) -> None:
    running = as_at_start(settings_of(tmp_path))
    written = settings_of(tmp_path, old, new)
    now, waiting = under(running, written)
    assert waiting == changed
    for name in ("node", "store", "admin", "billing", "clock", "catalog"):
        assert getattr(now, name) == getattr(running, name)
    assert now.drain == written.drain


def test_a_link_that_leads_elsewhere_later_changes_nothing_and_is_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    link = tmp_path / "data"
    link.symlink_to("one")
    running = as_at_start(settings_of(tmp_path))
    link.unlink()
    link.symlink_to("two")
    now, waiting = under(running, load_settings(tmp_path / "tollgate.yaml"))
    assert waiting == ["node.data_dir", "store.url"]
    assert (now.node.data_dir, now.store.url) == (tmp_path / "one", f"sqlite:///{tmp_path}/one/tollgate.db")


def test_what_a_catalog_and_a_price_book_say_is_of_the_start_too(tmp_path: Path) -> None:
    settings = load_settings(write_config(tmp_path))
    catalog = load_catalog()
    assert changed_files(settings, catalog, USD) == []
    less = catalog.model_copy(update={"dedicated": {}})
    assert changed_files(settings, less, USD.model_copy(update={"id": "x"})) == ["catalog", "billing.price_book"]
    with pytest.raises(StartError, match=r"instances\[1\]"):
        require_catalog(settings, less)
