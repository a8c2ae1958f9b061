"""Errors of the command line; each ends in one line on stderr and exit code 1."""

from __future__ import annotations


class CommandError(Exception):
    """The root; its text is for a person."""


class NodeUnreachable(CommandError):
    """Nothing answers where a node should be."""
