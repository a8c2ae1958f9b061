"""`column IN (…)` with the list as one parameter: the statement is the same however many there are.

With a parameter for each of 500 names, a statement took longer to prepare than PostgreSQL took to carry it out.
"""

import json
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Boolean, ColumnElement, Dialect, Text, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


class _List(TypeDecorator[Sequence[Any]]):
    """An array for PostgreSQL, JSON for SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return ARRAY(self.item) if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: Sequence[Any] | None, dialect: Dialect) -> Any:
        assert value is not None
        return list(value) if dialect.name == "postgresql" else json.dumps(list(value))


class _Among(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Any:
        """As it is: SQLAlchemy would write `… = 1` for SQLite, which then uses no index."""
        return self


def among(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Whether the column is one of the list that is given as the parameter of this name."""
    return cast(ColumnElement[bool], _Among(column, bindparam(name, type_=_List(column.type))))


@compiles(_Among, "postgresql")
def _any(element: _Among, compiler: Any, **options: Any) -> str:
    column, names = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY({names})"


@compiles(_Among, "sqlite")
def _in(element: _Among, compiler: Any, **options: Any) -> str:
    column, names = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({names}))"  # noqa: S608
