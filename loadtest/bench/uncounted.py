"""The request path without its counting, to measure what metering costs: the product has no switch for it.

A copy of a worker's sources, in which every statement that adds to a cell is gone, and with it what was only worked
out for that. What is left does all else, in the same lines.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

from gateway import compiled

_CELLS: Final = "cells"
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def make(folder: Path, *, is_compiled: bool) -> Path:
    """A tree of modules to run instead of the sources. Raises gateway.compiled.CompileError."""
    place = folder / f"uncounted-{'compiled' if is_compiled else 'plain'}"
    for path in compiled.sources():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(without_counts((compiled.ROOT / path).read_text()))
    if is_compiled:
        compiled._compile(place)  # As a build is made, but not kept: the shelf is for what workers run.
    return place


def without_counts(source: str) -> str:
    """The module with `pass` for each `…cells[…] += …`, and for each assignment that only these read."""
    tree = ast.parse(source)
    gone = _counts(tree)
    for function in ast.walk(tree):
        if isinstance(function, _Function):
            gone += _read_by_none(function, _counts(function))
    lines = source.splitlines(keepends=True)
    for node in gone:
        assert node.end_lineno is not None
        first, *rest = range(node.lineno - 1, node.end_lineno)
        lines[first] = f"{' ' * node.col_offset}pass\n"
        for line in rest:
            lines[line] = "\n"
    return "".join(lines)


def _counts(tree: ast.AST) -> list[ast.stmt]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.AugAssign)
        and isinstance(node.target, ast.Subscript)
        and ast.unparse(node.target.value).rpartition(".")[2] == _CELLS
    ]


def _read_by_none(function: _Function, gone: list[ast.stmt]) -> list[ast.stmt]:
    """The assignments to locals that nothing but the statements in ``gone`` reads."""
    removed = {id(inner) for node in gone for inner in ast.walk(node)}
    names = [node for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    only_counted = {n.id for n in names if id(n) in removed} - {n.id for n in names if id(n) not in removed}
    return [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in only_counted
    ]
