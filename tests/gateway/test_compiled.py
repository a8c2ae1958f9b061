"""Which build a worker runs: that of its very sources, or the sources."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import compiled
from gateway.compiled import CompileError, home, is_used, sources, worker_environment


@pytest.fixture(autouse=True)
def no_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, without a build."""
    place = tmp_path / "build"
    monkeypatch.setattr(compiled, "home", lambda: place)
    monkeypatch.delenv("TOLLGATE_COMPILED", raising=False)
    return place


def test_without_a_build_the_sources_run() -> None:
    assert not is_used()
    assert worker_environment()["PYTHONPATH"].split(os.pathsep)[0] == str(compiled.ROOT)


def test_a_build_is_used_unless_switched_off(no_build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_build.mkdir()
    assert is_used()
    assert worker_environment()["PYTHONPATH"].split(os.pathsep)[0] == str(no_build)
    monkeypatch.setenv("TOLLGATE_COMPILED", "0")
    assert not is_used()


def test_a_build_that_is_asked_for_and_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_COMPILED", "1")
    with pytest.raises(CompileError, match=r"python -m gateway\.compiled"):
        worker_environment()


def test_a_worker_is_given_what_it_needs_and_no_secret() -> None:
    needed = {"PATH": "/bin", "LC_ALL": "C", "TZ": "Asia/Tokyo", "SSL_CERT_FILE": "/ca.pem", "UV_THREADPOOL_SIZE": "8"}
    secrets = {
        "TOLLGATE_ADMIN_TOKEN": "s",
        "TOLLGATE_SMTP_PASSWORD": "s",
        "TOLLGATE_WEBHOOK_SECRET": "s",
        "PGPASSWORD": "s",
        "AWS_SECRET_ACCESS_KEY": "s",
        "LD_SDK_KEY": "s",
        "HOMEBREW_GITHUB_API_TOKEN": "s",
        "OTEL_EXPORTER_OTLP_HEADERS": "s",
        "https_proxy": "http://user:s@proxy",
        "PYTHONSTARTUP": "s",
    }
    given = worker_environment({**needed, **secrets})
    assert given == {**needed, "PYTHONPATH": str(compiled.ROOT), "PYTHONSAFEPATH": "1"}
    traced = worker_environment({**needed, **secrets}, is_traced=True)
    assert traced.keys() - given.keys() == {"OTEL_EXPORTER_OTLP_HEADERS", "https_proxy"}


def test_the_working_directory_is_no_place_to_import_from() -> None:
    given = worker_environment({"PYTHONPATH": os.pathsep.join(["", ".", "lib", "/opt/lib"])})
    assert given["PYTHONPATH"] == os.pathsep.join([str(compiled.ROOT), "/opt/lib"])


def test_every_edit_of_a_workers_source_is_another_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    for path in sources():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes((compiled.ROOT / path).read_bytes())
    monkeypatch.setattr(compiled, "ROOT", root)
    seen = {home.__wrapped__()}
    for path in list(sources()):
        with (root / path).open("a") as file:
            file.write("# edited\n")
        seen.add(home.__wrapped__())
    assert len(seen) == 1 + len(list(sources()))


def test_a_worker_imports_nothing_that_a_build_lacks() -> None:
    """A module left out would be taken from the sources beside the build, and be another edit's."""
    program = (
        "import gateway.worker, sys; print(*(m.__file__ for m in sys.modules.values() if getattr(m, '__file__', 0)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=compiled.ROOT, capture_output=True, text=True, check=True
    )
    files = {Path(name) for name in done.stdout.split()}
    ours = {path.relative_to(compiled.ROOT) for path in files if path.is_relative_to(compiled.ROOT)}
    ours = {path for path in ours if path.parts[0] in ("gateway", "metering", "billing", "config", "loadtest")}
    assert ours - set(sources()) == set()


def test_sources_that_do_not_compile_leave_no_build(
    tmp_path: Path, no_build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "_shelf", lambda: tmp_path / "shelf")
    monkeypatch.setattr(compiled.sys, "executable", "/bin/false")
    with pytest.raises(CompileError):
        compiled.build()
    assert not no_build.exists()
    assert list((tmp_path / "shelf").iterdir()) == []
