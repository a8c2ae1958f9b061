"""The admin token: from the environment, else a file of the data_dir that only its owner reads (DESIGN 1.2)."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

VARIABLE: Final = "TOLLGATE_ADMIN_TOKEN"
_TOKEN_BYTES = 32
# Sixteen letters and digits by chance have 82 bits: at thousands of tries a second nobody finds them.
SOUND_CHARS_MIN: Final = 16


def token_file(data_dir: Path) -> Path:
    return data_dir / "admin.token"


def read_token(data_dir: Path, environ: Mapping[str, str] = os.environ) -> str | None:
    """The token of the node on this data_dir, or None when there is none yet."""
    if token := environ.get(VARIABLE, "").strip():
        return token
    try:
        return token_file(data_dir).read_text().strip() or None
    except FileNotFoundError:
        return None


def open_token(data_dir: Path, environ: Mapping[str, str] = os.environ) -> str:
    """The token; made at the first start, mode 0600 from its first byte on."""
    if token := read_token(data_dir, environ):
        return token
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    path = token_file(data_dir)
    path.unlink(missing_ok=True)  # Only an empty one can be there.
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(token + "\n")
    return token


class Token:
    """Compares in constant time, whatever the length of what is offered. ``is_weak``: it could be guessed."""

    def __init__(self, token: str) -> None:
        self.is_weak = len(token) < SOUND_CHARS_MIN
        self._digest = hashlib.sha256(token.encode()).digest()

    def matches(self, offered: str) -> bool:
        digest = hashlib.sha256(offered.encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(self._digest, digest)
