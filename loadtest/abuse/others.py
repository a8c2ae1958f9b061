"""Other clients of the attacked service, who come while the attack goes on."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from typing import Final

ASKED: Final = "asked by others"  # so often: what they ask is the attacked service's, too
_POLL_S: Final = 0.1


def ask(entry: int, timeout_s: float) -> int:
    """The status of the answer; 0 without one."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{entry}/mark/", timeout=timeout_s) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


def answered_within(entry: int, seconds: float, name: str) -> dict[str, int]:
    """Asks until it is answered: 1 by ``name``, where it was in time."""
    deadline, asked = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        asked += 1
        if ask(entry, timeout_s=1.0) == 200:
            return {name: 1, ASKED: asked}
        time.sleep(_POLL_S)
    return {name: 0, ASKED: asked}
