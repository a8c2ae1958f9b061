"""What the node makes is its owner's alone, whatever the umask; what others could change is not opened."""

import logging
import os
import stat
from pathlib import Path

import pytest

from gateway.control.data_dir import open_data_dir
from gateway.control.errors import StartError
from tests.gateway.control.configuration import config_text, service
from tests.node import free_port, node, until

STORE = "sqlite:///{}/data/tollgate.db"


def modes(folder: Path) -> dict[str, int]:
    found = [folder, *folder.rglob("*")]
    return {str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in found}


def test_nothing_in_the_data_dir_of_a_running_node_is_open_to_others(tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("shared", "dedicated", "admin")}
    text = config_text(**ports) + 'access_log: {file: "./data/access.log"}\n'
    with node(tmp_path, text, ports["admin"], prepare=lambda: os.umask(0)) as running:
        assert running.call("POST", "/v1/services", service("more"))[0] == 201
        data = tmp_path / "data"

        def has_counted() -> bool:
            return any((data / "counters").glob("*.ctr")) and (data / "tollgate.db-wal").exists()

        until(has_counted, "counters and the store are there")
        found = modes(data)
    assert {"tollgate.db-wal", "tollgate.db-shm", "access.log", "services.json", "run/control.lock"} <= found.keys()
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}


@pytest.fixture
def umask() -> object:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_what_an_earlier_version_left_open_is_closed_and_what_is_not_the_nodes_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    (data / "counters" / "archive").mkdir(parents=True, mode=0o755)
    own = [data / "services.json", data / "tollgate.db-wal", data / "counters" / "1-w.ctr"]
    for path in [*own, data / "notes.txt"]:
        path.write_text("")
    (data / "counters" / "link").symlink_to(data / "notes.txt")
    with caplog.at_level(logging.WARNING):
        open_data_dir(data, STORE.format(tmp_path))
    assert all(path.stat().st_mode & 0o077 == 0 for path in (data, data / "counters" / "archive", *own))
    assert (data / "notes.txt").stat().st_mode & 0o777 == 0o666
    assert "6 files and folders" in caplog.text
    caplog.clear()
    open_data_dir(data, STORE.format(tmp_path))
    assert caplog.text == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("is_link", [False, True])
def test_a_data_dir_that_another_user_could_change_is_refused(tmp_path: Path, is_link: bool) -> None:
    data = tmp_path / "data"
    if is_link:
        (tmp_path / "elsewhere").mkdir()
        data.symlink_to(tmp_path / "elsewhere")
    else:
        data.mkdir()
    open_data_dir(data, STORE.format(tmp_path))
    os.chown(data, 65534, 65534, follow_symlinks=False)
    with pytest.raises(StartError, match="belongs to user 65534"):
        open_data_dir(data, STORE.format(tmp_path))
