"""A PostgreSQL server of the tests' own: started on a socket in a temporary folder, as a user that is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import psycopg

_START_S_MAX = 30.0
_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


def missing() -> str | None:
    """Why no server can be started here, or None."""
    if not _BINARIES and shutil.which("postgres") is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    return None


class PostgresServer:
    """Runs until `stop`. Each database is new and empty."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tollgate-pg-"))
        self._bin = _BINARIES[-1] if _BINARIES else Path(str(shutil.which("postgres"))).parent
        self._user = self._owner()
        data = self._folder / "data"
        self._run(
            "initdb", "-D", str(data), "-U", "tollgate", "-A", "trust", "-E", "UTF8", "--no-sync"
        ).check_returncode()
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._folder),
            "fsync": "off",  # The machine does not lose power in a test; processes that die do not need it.
            "max_connections": "40",
        }
        arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._log = (self._folder / "log").open("wb")
        self._server = subprocess.Popen(
            [self._bin / "postgres", "-D", data, *arguments],
            stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL, user=self._user, cwd=self._folder,
            start_new_session=True,
        )  # fmt: skip
        self._wait()

    def database(self, template: str | None = None) -> str:
        """The URL of a new database: empty, or a copy of the one of another URL, which nobody may have open."""
        name = f"t{uuid.uuid4().hex}"
        source = "template1" if template is None else _name_in(template)
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {source}".encode())
        return f"postgresql://tollgate@/{name}?host={self._folder}"

    def drop(self, url: str) -> None:
        """A database that nobody has open any more: each takes 8 MB."""
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {_name_in(url)}".encode())

    def stop(self) -> None:
        self._server.send_signal(signal.SIGQUIT)  # At once: nothing here is needed again.
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _conninfo(self, database: str) -> str:
        return f"host={self._folder} user=tollgate dbname={database}"

    def _owner(self) -> str | None:
        """The server refuses to run as root."""
        if os.geteuid() != 0:
            return None
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
        shutil.chown(self._folder, user)
        return user

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self._bin / program, *arguments], capture_output=True, user=self._user, cwd=self._folder, check=False
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_S_MAX
        while True:
            try:
                psycopg.connect(self._conninfo("postgres")).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._server.poll() is not None:
                    raise RuntimeError((self._folder / "log").read_text()) from None
            time.sleep(0.05)


def _name_in(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]
