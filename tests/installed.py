"""Programs that tests start and that may not be installed. In CI none may be missing (TOLLGATE_TEST_ALL=1)."""

from __future__ import annotations

import os
import shutil

import pytest


def needed(name: str) -> str:
    """The program's path; skips the test, saying so, where it is not installed, and fails it where CI runs."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        absent(f"{name} is not installed")
    return path


def absent(reason: str) -> None:
    """Something that this test needs is not on this machine."""
    if os.environ.get("TOLLGATE_TEST_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
