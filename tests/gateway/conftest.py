"""What a worker's process has of its own, and a test process shares among its tests."""

import pytest

from gateway.http import request_line
from gateway.http.repeats import Repeats


@pytest.fixture
def fresh_lines() -> None:
    """No request line came before: lines of other tests may stand where this one's would."""
    request_line.forget_found()
    request_line._LINES._repeats = Repeats(request_line.LINES_MAX)
