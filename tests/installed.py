"""Programs that tests start and that may not be installed. In CI none may be missing (TOLLGATE_TEST_ALL=1)."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def needed(*names: str) -> str:
    """The path of the first of these programs that is installed.

    Where none is, the test is skipped, saying so, and failed where CI runs.
    """
    found = (shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin") for name in names)
    path = next((path for path in found if path is not None), None)
    if path is None:
        absent(f"{' or '.join(names)} is not installed")
    return path


def absent(reason: str) -> NoReturn:
    """Something that this test needs is not on this machine."""
    if os.environ.get("TOLLGATE_TEST_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
