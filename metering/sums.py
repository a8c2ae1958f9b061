"""Sums that no column of 64 bits has to hold: SQLite raises where one would pass them, a server counts on by itself."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Dialect, Text, func, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import TypeDecorator

_HALF_BITS: Final = 32


class _Exact(TypeDecorator[int]):
    """Python's integer, of a decimal number, or of two halves in a text."""

    impl = Text
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        if isinstance(value, str):
            high, _, low = value.partition(" ")
            return (int(high) << _HALF_BITS) + int(low)
        return None if value is None else int(value)


class exact_sum(FunctionElement[int]):
    """`SUM` of a column of 64 bits, however many rows there are: 0 of none."""

    type = _Exact()
    inherit_cache = True

    def __init__(self, column: ColumnElement[int]) -> None:
        super().__init__(column)


@compiles(exact_sum)
def _by_server(element: exact_sum, compiler: SQLCompiler, **options: Any) -> str:
    (column,) = element.clauses
    return str(compiler.process(func.coalesce(func.sum(column), 0), **options))


@compiles(exact_sum, "sqlite")
def _in_halves(element: exact_sum, compiler: SQLCompiler, **options: Any) -> str:
    (column,) = element.clauses
    high, low = column.op(">>")(literal_column("32")), column.op("&")(literal_column("4294967295"))
    halves = func.coalesce(func.sum(high), 0).op("||")(literal_column("' '")).op("||")(func.coalesce(func.sum(low), 0))
    return str(compiler.process(halves, **options))
