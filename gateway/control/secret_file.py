"""A secret of the node: from the environment, else a file of the data_dir that only its owner reads."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

_SECRET_BYTES = 32


def open_secret(path: Path, variable: str, environ: Mapping[str, str] = os.environ) -> str:
    """The secret; made at the first start, mode 0600 from its first byte on."""
    if secret := environ.get(variable, "").strip():
        return secret
    try:
        if secret := path.read_text().strip():
            return secret
        path.unlink()  # An empty one is none.
    except FileNotFoundError:
        pass
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(secret + "\n")
    return secret
