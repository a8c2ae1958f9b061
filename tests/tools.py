"""Programs that some tests need: a skip with the reason where one is missing, a failure where nothing may be."""

from __future__ import annotations

import os
import shutil

import pytest


def tool(*names: str) -> str:
    """The path of the first of these that is installed. TOLLGATE_TEST_ALL=1, as CI has it, forbids the skip."""
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return path
    reason = f"{' or '.join(names)} is not installed"
    if os.environ.get("TOLLGATE_TEST_ALL"):
        pytest.fail(reason)
    pytest.skip(reason)
