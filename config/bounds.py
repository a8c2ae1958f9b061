"""What bounds values: lists and texts of a bounded length, and ranges as people write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, Strict
from pydantic_core import CoreSchema, core_schema

from config.errors import shown
from config.units import parse_duration, parse_size

T = TypeVar("T")
# YAML and JSON have lists and no tuples: of the list itself no other type is meant, of its items none is taken.
Many = Annotated[tuple[T, ...], Strict(False)]


@dataclass(frozen=True, slots=True)
class Within:
    """From ``least`` to ``most``, as people write them."""

    least: str
    most: str
    parse: Callable[[object], float]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, value: Any) -> Any:
        if not self.parse(self.least) <= value <= self.parse(self.most):
            raise ValueError(f"is not from {self.least} to {self.most}")
        return value


def lasting(least: str, most: str) -> Within:
    """Of durations."""
    return Within(least, most, parse_duration)


def sized(least: str, most: str) -> Within:
    """Of sizes."""
    return Within(least, most, parse_size)


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"{shown(value)} has a control character or another that is not seen")
    return value


# A path that is not one of a file only.
PathText = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_printable)]
# Names and descriptions: what is put into logs, labels and tables of people.
Text = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_printable)]
