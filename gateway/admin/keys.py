"""What an Idempotency-Key may be: over the API, and on the command line."""

from __future__ import annotations

from typing import Final

from config.texts import is_plain

KEY_CHARS_MAX: Final = 200


def is_key(text: str) -> bool:
    return 0 < len(text) <= KEY_CHARS_MAX and is_plain(text)
