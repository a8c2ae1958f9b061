"""The request path as C extensions, made by mypyc from the sources that run otherwise: `python -m gateway.compiled`.

A build is a copy of the worker's sources with the compiled modules beside them, kept under the Python prefix by the
digest of those sources. A worker runs the build of its own sources where there is one, and the sources where there is
none: after an edit, or on a machine without a C compiler. What both do is the same, and both are tested.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
# What a worker imports, and of it what every request runs through.
_PACKAGES: Final = (
    "gateway",
    "gateway/entry",
    "gateway/http",
    "gateway/limits",
    "gateway/proxy",
    "gateway/routing",
    "metering",
)
_OF_CONFIG: Final = ("config/__init__.py", "config/certificates.py")
_COMPILED: Final = ("gateway/http", "gateway/limits", "gateway/proxy", "gateway/routing")
_NOT_OF_WORKERS: Final = ("gateway/compiled.py", "gateway/main.py")
_COMPILED_BESIDE: Final = ("metering/meter.py",)
_OPTIMISATION: Final = "3"
_SWITCH: Final = "TOLLGATE_COMPILED"  # 0: run the sources, whatever was built; 1: run a build or nothing
# What a worker has of its parent's environment: settings of the interpreter, its loader and its allocator, language
# and time zone, where trusted certificates are. By whole names: `LD_…` and `PYTHON…` may be keys of somebody's service.
_PASSED_ON: Final = frozenset(
    (
        *("PATH", "HOME", "TMPDIR", "TZ", "TZDIR", "LANG", "LANGUAGE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LC_NUMERIC", "LC_TIME", "LC_COLLATE", "LC_MONETARY"),
        *("PYTHONHOME", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONHASHSEED", "PYTHONMALLOC", "PYTHONUNBUFFERED"),
        *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONNOUSERSITE", "PYTHONUSERBASE", "PYTHONOPTIMIZE"),
        *("PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONFAULTHANDLER", "PYTHONASYNCIODEBUG", "PYTHONPLATLIBDIR"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "MALLOC_ARENA_MAX", "MALLOC_CONF", "UV_THREADPOOL_SIZE", _SWITCH),
    )
)
# Of the loop's own, of which half look up names. By itself it has 4: two names whose servers do not answer held up
# those of everybody, for 40 s where somebody had eight. Each of them counts for a pids limit, too.
_LOOP_THREADS: Final = "64"
# The span exporter's settings. They may hold a key to its receiver, which is the worker's to show there.
_OF_TRACING: Final = "OTEL_"
_PROXIES: Final = frozenset(("http_proxy", "https_proxy", "all_proxy", "no_proxy"))
_AUTHORITIES: Final = frozenset(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))


def sources() -> Iterator[Path]:
    """The worker's modules, relative to ROOT, in order."""
    for package in _PACKAGES:
        for path in sorted((ROOT / package).glob("*.py")):
            relative = path.relative_to(ROOT)
            if str(relative) not in _NOT_OF_WORKERS:
                yield relative
    yield from map(Path, _OF_CONFIG)


@cache
def home() -> Path:
    """Where the build of these sources for this Python is, or would be."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sources():
        digest.update(b"%b\0%b\0" % (str(path).encode(), (ROOT / path).read_bytes()))
    return _shelf() / digest.hexdigest()[:16]


def is_used() -> bool:
    """Whether workers run a build. Raises CompileError where one is asked for and there is none."""
    wish = os.environ.get(_SWITCH)
    if wish == "1" and not is_built():
        raise CompileError(f"{_SWITCH}=1, and these sources are not built: python -m gateway.compiled")
    return wish != "0" and is_built()


def worker_environment(environ: Mapping[str, str] = os.environ, *, is_traced: bool = False) -> dict[str, str]:
    """The environment that a worker is started with: what it needs, by name, and no secret of the control process's.

    It imports from the build, or from the very sources that this process runs, and never from the working directory.
    Raises CompileError as `is_used` does.
    """
    environment = {name: value for name, value in environ.items() if _is_passed_on(name, is_traced=is_traced)}
    # An empty place, or a relative one, is the working directory again.
    others = [place for place in environ.get("PYTHONPATH", "").split(os.pathsep) if Path(place).is_absolute()]
    environment["PYTHONPATH"] = os.pathsep.join([str(home() if is_used() else ROOT), *others])
    environment.setdefault("UV_THREADPOOL_SIZE", _LOOP_THREADS)
    environment["PYTHONSAFEPATH"] = "1"  # else `-m` puts the working directory before all of these
    return environment


def _is_passed_on(name: str, *, is_traced: bool) -> bool:
    if name in _PASSED_ON:
        return True
    return is_traced and (name.startswith(_OF_TRACING) or name in _AUTHORITIES or name.lower() in _PROXIES)


def is_built() -> bool:
    return home().is_dir()


def build() -> None:
    """Builds what is not built, and forgets older builds. Raises CompileError."""
    if is_built():
        return
    _shelf().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_shelf()) as folder:
        place = Path(folder) / "build"
        for path in sources():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, place / path)
        _compile(place)
        shutil.rmtree(place / "build", ignore_errors=True)
        for old in _shelf().iterdir():
            if old != Path(folder):
                shutil.rmtree(old, ignore_errors=True)
        place.rename(home())


class CompileError(Exception):
    """No compiler, no mypyc, or sources they do not take. The message ends with what they said."""


def _compile(place: Path) -> None:
    modules = [str(path) for path in sources() if str(path.parent) in _COMPILED and path.name != "__init__.py"]
    program = (
        "from setuptools import setup\n"
        "from mypyc.build import mypycify\n"
        f"setup(name='tollgate-request-path', packages=[], ext_modules=mypycify({[*modules, *_COMPILED_BESIDE]!r}, "
        f"opt_level='{_OPTIMISATION}', debug_level='0'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "build_ext", "--inplace"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        raise CompileError(f"mypyc ended with {done.returncode}:\n{done.stdout[-2000:]}")


def _shelf() -> Path:
    return Path(sys.prefix) / "share" / "tollgate" / "compiled"


def main() -> int:
    """1 where it cannot be built; the sources run all the same."""
    try:
        build()
    except (CompileError, OSError) as error:
        sys.stderr.write(f"tollgate: the request path is not compiled, its sources run instead: {error}\n")
        return 1
    sys.stdout.write(f"tollgate: the request path is compiled, in {home()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
