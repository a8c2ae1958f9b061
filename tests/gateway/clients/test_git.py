"""git over HTTP: both of its protocols for clone, and a push, whose content comes in chunks."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.gateway.clients.conftest import Gateway
from tests.gateway.clients.origin import Origin
from tests.gateway.data_plane import instance, service, worker
from tests.installed import needed
from tests.node import free_port

FILES = 40
FILE_BYTES = 60_000


class Git:
    def __init__(self, home: Path) -> None:
        self._program = needed("git")
        self._home = home

    def __call__(self, *arguments: str | Path) -> str:
        """What it prints. Without the settings of whoever runs the tests."""
        done = subprocess.run(
            [self._program, *map(str, arguments)],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self._home),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_TERMINAL_PROMPT": "0",
                **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
                   for what, value in (("NAME", "one"), ("EMAIL", "one@example.com"))},
            },
            capture_output=True,
            text=True,
            timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def git(tmp_path: Path) -> Git:
    return Git(tmp_path)


@pytest.fixture
def bare(git: Git, origin: Origin, tmp_path: Path) -> Path:
    """A repository with a few MiB that do not compress, where the origin serves it as files."""
    work = tmp_path / "work"
    git("init", "-q", "-b", "main", work)
    for number in range(FILES):
        (work / f"{number}.bin").write_bytes(os.urandom(FILE_BYTES))
        git("-C", work, "add", ".")
        git("-C", work, "commit", "-q", "-m", f"file {number}")
    made = origin.git_root / f"{tmp_path.name}.git"
    git("clone", "-q", "--bare", work, made)
    git("-C", made, "update-server-info")
    git("-C", made, "config", "http.receivepack", "true")
    return made


def test_a_clone_of_plain_files(gateway: Gateway, git: Git, bare: Path, tmp_path: Path) -> None:
    git("clone", "-q", f"{gateway.url}/a/static-git/{bare.name}", tmp_path / "clone")
    assert git("-C", tmp_path / "clone", "rev-parse", "HEAD") == git("-C", bare, "rev-parse", "HEAD")
    git("-C", tmp_path / "clone", "fsck", "--strict")
    gateway.adds_up()


class Backend:
    """`git http-backend` (CGI) behind aiohttp, in a thread."""

    def __init__(self, git: Git, root: Path) -> None:
        self.port = free_port()
        self._program = Path(git("--exec-path").strip()) / "git-http-backend"
        self._root = root
        self.codings: set[str | None] = set()  # Transfer-Encoding of what came in
        self._is_up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._ends = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._is_up.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ends.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self._is_up.set()
        await self._ends.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.codings.add(request.headers.get("Transfer-Encoding"))
        body = await request.read()
        process = await asyncio.create_subprocess_exec(
            self._program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self._root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
                "REQUEST_METHOD": request.method,
                "PATH_INFO": request.path,
                "QUERY_STRING": request.query_string,
                "CONTENT_TYPE": request.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "REMOTE_ADDR": "127.0.0.1",
                "REMOTE_USER": "one",
            },
        )
        out, _ = await process.communicate(body)
        head, _, content = out.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        return web.Response(status=int(fields.pop("Status", "200").split()[0]), body=content, headers=fields)


@pytest.fixture
def smart(git: Git, bare: Path, tmp_path: Path) -> Iterator[tuple[str, Backend]]:
    """The address of the repository behind a worker of its own."""
    backend = Backend(git, bare.parent)
    folder = tmp_path / "worker"
    folder.mkdir()
    try:
        one = instance(body_max=1 << 30)
        with worker(folder, service("git", backend.port), one=one, body_timeout=30.0) as running:
            yield f"http://127.0.0.1:{running.port}/git/{bare.name}", backend
    finally:
        backend.stop()


@pytest.mark.parametrize("version", ["0", "2"])
def test_a_clone_a_fetch_and_a_push(
    smart: tuple[str, Backend], git: Git, bare: Path, tmp_path: Path, version: str
) -> None:
    url, backend = smart
    clone, other = tmp_path / "clone", tmp_path / "other"
    for to in (clone, other):
        git("-c", f"protocol.version={version}", "clone", "-q", url, to)
    (clone / "more.bin").write_bytes(os.urandom(3_000_000))  # beyond http.postBuffer: sent in chunks
    git("-C", clone, "add", ".")
    git("-C", clone, "commit", "-q", "-m", "more")
    git("-C", clone, "push", "-q", "origin", "main")
    git("-C", other, "-c", f"protocol.version={version}", "pull", "-q")
    heads = {git("-C", at, "rev-parse", "main") for at in (bare, clone, other)}
    assert len(heads) == 1
    git("-C", other, "fsck", "--strict")
    assert backend.codings == {None, "chunked"}
