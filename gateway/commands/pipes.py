"""Who reads what a command prints may leave (`| head -1`): that is no fault of the command, and no error of it."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Final, TextIO

# As of a program that SIGPIPE ended: 128 and the signal's number. The signal itself stays ignored: sockets have it too.
READER_GONE_STATUS: Final = 141


class ReaderGone(Exception):
    """Nobody reads stdout any more. No OSError: libraries have an end of their own for a BrokenPipeError."""


class Stdout:
    """The stream as it is, but for the error of one that nobody reads."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            raise ReaderGone from None

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            raise ReaderGone from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def open_streams() -> None:
    """Of a program that was started without some (`>&-`): what is written there goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115  (until the process ends)


def forget_stdout() -> None:
    """What is buffered is for nobody: the interpreter's own end is not to stumble over it."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
