"""Every number, duration, size, text and list of the schema has a least and a most: the table is the schema itself."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt, MaxLen
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from config.bounds import Within
from config.catalog import Catalog
from config.documents import faults_of
from config.prices import PriceBook
from config.schema import Settings
from config.units import parse_duration
from gateway.control.operations import Adjustment, InstancePurchase, Renewal, VoucherGrant, WhatIf


@dataclass(frozen=True)
class Leaf:
    """One type that a field may have, with all that is said of it."""

    model: type[BaseModel]
    field: str
    type: Any
    metadata: tuple[Any, ...]
    is_item: bool

    def __str__(self) -> str:
        return f"{self.model.__name__}.{self.field}{'[]' if self.is_item else ''}"

    def first(self, *kinds: type) -> Any:
        return next((item for item in self.metadata if isinstance(item, kinds)), None)

    def refuses(self, value: object) -> bool:
        """Whether the value is a fault of this field, whatever else is missing."""
        try:
            self.model.model_validate({self.field: [value] if self.is_item else value})
        except ValidationError as error:
            return any(re.match(rf"{self.field}(\[|\.|\Z)", fault.path) and fault.message for fault in faults_of(error))
        return False


def leaves(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[Leaf]:
    if model in seen:
        return
    seen.add(model)
    for name, info in model.model_fields.items():
        yield from _of(model, name, info.annotation, _flat(info.metadata), False, seen)


def _of(model: Any, name: str, annotation: Any, metadata: tuple[Any, ...], is_item: bool, seen: Any) -> Iterator[Leaf]:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _of(model, name, args[0], metadata + _flat(args[1:]), is_item, seen)
    elif origin in (Union, types.UnionType):
        for arg in args:
            yield from _of(model, name, arg, metadata, is_item, seen)
    elif origin in (tuple, dict):
        yield Leaf(model, name, origin, metadata, is_item)
        yield from _of(model, name, args[0], (), True, seen) if origin is tuple else ()
        if origin is dict:
            yield from _of(model, name, args[1], (), True, seen)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from leaves(annotation, seen)
    elif origin is not Literal and annotation is not type(None):
        yield Leaf(model, name, annotation, metadata, is_item)


def _flat(metadata: Any) -> tuple[Any, ...]:
    flat: tuple[Any, ...] = ()
    for item in metadata:
        flat += _flat(item.metadata) if isinstance(item, FieldInfo) else (item,)
    return flat


_MODELS = (Settings, Catalog, PriceBook, InstancePurchase, Adjustment, Renewal, VoucherGrant, WhatIf)
_SEEN: set[type[BaseModel]] = set()
LEAVES = [leaf for model in _MODELS for leaf in leaves(model, _SEEN)]
MONEY = [
    leaf for leaf in LEAVES if leaf.type is int and re.search(r"parse_(e8|amount_e8|price_e8)", repr(leaf.metadata))
]
INSTANTS = [leaf for leaf in LEAVES if "parse_instant" in repr(leaf.metadata)]
MEASURES = [leaf for leaf in LEAVES if "parse_duration" in repr(leaf.metadata) or "parse_size" in repr(leaf.metadata)]
_OTHERS = (MONEY, MEASURES, INSTANTS)
NUMBERS = [leaf for leaf in LEAVES if leaf.type in (int, float) and not any(leaf in others for others in _OTHERS)]
TEXTS = [leaf for leaf in LEAVES if leaf.type is str]
LISTS = [leaf for leaf in LEAVES if leaf.type in (tuple, dict)]


def test_the_table_has_the_whole_schema() -> None:
    assert (len(NUMBERS), len(MEASURES), len(MONEY), len(TEXTS), len(LISTS)) > (20, 15, 10, 30, 20)


@pytest.mark.parametrize("leaf", NUMBERS, ids=str)
def test_a_number_below_its_least_or_above_its_most_is_refused(leaf: Leaf) -> None:
    least, most = leaf.first(Ge, Gt), leaf.first(Le, Lt)
    assert least is not None, "has no least"
    assert most is not None, "has no most"
    for beyond in (least.ge - 1, most.le + 1, -1, 10**18 + most.le):
        assert leaf.refuses(beyond), str(beyond)[:40]
    assert not leaf.refuses(least.ge)
    assert not leaf.refuses(most.le)


@pytest.mark.parametrize("leaf", INSTANTS, ids=str)
def test_an_instant_has_its_years(leaf: Leaf) -> None:
    for beyond in (
        "1999-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
        "2026-01-01",
        1_768_438_800,
    ):
        assert leaf.refuses(beyond), beyond
    assert not leaf.refuses("2026-01-15T09:00:00+08:00")


@pytest.mark.parametrize("leaf", NUMBERS, ids=str)
def test_nothing_but_a_number_is_a_number(leaf: Leaf) -> None:
    most = leaf.first(Le, Lt).le
    for other in (True, False, str(most), "", [most], {"a": 1}, float("inf"), float("-inf"), float("nan")):
        assert leaf.refuses(other), str(other)[:40]
    if leaf.type is int:
        assert leaf.refuses(float(most))


@pytest.mark.parametrize("leaf", MEASURES, ids=str)
def test_a_duration_or_size_out_of_its_range_is_refused(leaf: Leaf) -> None:
    within = leaf.first(Within)
    assert within is not None, "has no range"
    unit = "s" if within.parse is parse_duration else "B"
    above = int(within.parse(within.most)) + 1
    for beyond in (f"{above}{unit}", f"-1{unit}", f"{'9' * 400}{unit}", f"1e3{unit}", above, -1, 0, True, ""):
        assert leaf.refuses(beyond), str(beyond)[:40]
    if within.parse(within.least) > 0:
        assert leaf.refuses(f"0{unit}")
    assert not leaf.refuses(within.least)
    assert not leaf.refuses(within.most)


@pytest.mark.parametrize("leaf", MONEY, ids=str)
def test_money_is_a_quoted_decimal_of_few_digits(leaf: Leaf) -> None:
    for other in (1, 1.5, True, "-1", "1e3", "12345678901", "0.123456789", "1_0", "NaN", ""):
        assert leaf.refuses(other), str(other)[:40]


@pytest.mark.parametrize("leaf", TEXTS, ids=str)
def test_a_text_is_text_and_has_a_longest(leaf: Leaf) -> None:
    for other in (1, 1.5, True, ["a"], {"a": "b"}, "a" * 10_000, "/" + "a" * 10_000, "http://" + "a." * 5000, "\0", ""):
        assert leaf.refuses(other), str(other)[:40]


@pytest.mark.parametrize("leaf", LISTS, ids=str)
def test_a_list_has_a_longest_and_is_nothing_else(leaf: Leaf) -> None:
    assert leaf.first(MaxLen) is not None, "has no longest"
    for other in ("a", 1, True):
        assert leaf.refuses(other), str(other)[:40]


@pytest.mark.parametrize("leaf", [leaf for leaf in LEAVES if leaf.type is bool], ids=str)
def test_nothing_but_true_and_false_is_a_truth_value(leaf: Leaf) -> None:
    for other in (1, 0, "true", "yes", "on", "", [], 1.0):
        assert leaf.refuses(other), str(other)[:40]
