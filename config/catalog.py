"""What can be had: the shared instance, the dedicated specs, and the regions (`catalog.yaml`; L1-L7, P1)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from config.documents import read_document, validated
from config.units import parse_size

BUILT_IN = Path(__file__).parent / "catalog.yaml"
Size = Annotated[int, BeforeValidator(parse_size)]


class Strict(BaseModel):
    """Unknown keys are errors; what was read does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class QpsCaps(Strict):
    """Requests a second at each level (L3). ``instance`` null: the guide's narrower reading."""

    instance: int | None = Field(ge=1, le=50_000)
    service: int = Field(ge=1, le=50_000)
    route: int = Field(ge=1, le=50_000)


class Spec(Strict):
    """One kind of instance. Shared: `body_max` is fixed. Prices are in the price books."""

    qps: QpsCaps
    services_max: int = Field(ge=1)
    body_max: Size
    body_max_ceiling: Size
    sla: str
    sample: bool = False


class Region(Strict):
    name: str
    dedicated: bool = False
    packs: bool = True


class Limits(NamedTuple):
    """Requests a second that the catalog gives an instance at each level."""

    instance: int | None
    service: int
    route: int


class HasSpec(Protocol):
    """What the catalog needs to know of an instance. ``spec`` is None for shared ones."""

    @property
    def type(self) -> str: ...
    @property
    def spec(self) -> str | None: ...


class Catalog(Strict):
    version: int = Field(ge=1, le=1)
    shared: Spec
    dedicated: dict[str, Spec]
    regions: dict[str, Region]

    def spec(self, name: str) -> Spec:
        """A dedicated spec by name. Raises KeyError."""
        return self.dedicated[name]

    def spec_of(self, instance: HasSpec) -> Spec:
        return self.dedicated[instance.spec] if instance.spec is not None else self.shared

    def limits_of(self, instance: HasSpec) -> Limits:
        qps = self.spec_of(instance).qps
        return Limits(qps.instance, qps.service, qps.route)

    def services_max(self, instance: HasSpec) -> int:
        return self.spec_of(instance).services_max


def load_catalog(path: str | Path | None = None) -> Catalog:
    """The built-in catalog, or one from a file. Raises ConfigError."""
    return validated(Catalog, read_document(Path(path) if path is not None else BUILT_IN))
