"""A node lives in a folder of any name: what a url, a shell or a template would read into it is a character."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config.loading import load_settings
from tests.gateway.control.configuration import config_text
from tests.node import ROOT, free_port, node

NAMES = ["100%", "a%20b", "%(here)s", "two words", "c#", "what?", "Zürich 東京", "'quoted\"", "a&b;$c", "{x}"]


@pytest.mark.parametrize("name", NAMES)
def test_a_store_is_where_the_file_says_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    ports = {port: free_port() for port in ("shared", "dedicated", "admin")}
    with node(folder, config_text(**ports).replace("shared_workers: 2", "shared_workers: 1"), ports["admin"]) as one:
        assert one.call("GET", "/v1/accounts/acme")[0] == 200
    assert (folder / "data" / "tollgate.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_one_that_says_no_more_than_its_data_dir_has_its_store_beside_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "what? 100%#"
    folder.mkdir()
    (folder / "tollgate.yaml").write_text("version: 1\nnode: {data_dir: ./data}\n")
    assert load_settings(folder / "tollgate.yaml").store.url == f"sqlite:///{folder}/data/tollgate.db"


def test_the_schema_is_brought_up_to_date_by_a_program_in_a_folder_of_any_name(tmp_path: Path) -> None:
    """Alembic reads its own folder's path as a template."""
    for package in ("billing", "metering", "config"):
        shutil.copytree(ROOT / package, tmp_path / "100% %(x)s" / package)
    script = "from billing.migrations import migrate; from metering.database import open_engine; import billing, sys\n"
    script += "migrate(open_engine('sqlite:///' + sys.argv[1])); print(billing.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "t.db")],
        cwd=tmp_path / "100% %(x)s",
        env={**os.environ, "PYTHONPATH": str(tmp_path / "100% %(x)s")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "100%" in done.stdout) == (0, True), done.stderr


def test_a_folder_whose_name_is_no_text_is_refused_in_words(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"l\xf8ft")
    folder.mkdir()
    (folder / "tollgate.yaml").write_text(config_text())
    done = subprocess.run(
        [sys.executable, "-m", "gateway.main", "serve", "-c", "tollgate.yaml"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert "no text in UTF-8" in done.stderr and "Traceback" not in done.stderr
