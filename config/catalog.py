"""What can be had: the shared instance, the dedicated specs, and the regions (`catalog.yaml`; L1-L7, P1)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from config.bounds import Text, sized
from config.documents import read_document, validated
from config.units import parse_size

BUILT_IN = Path(__file__).parent / "catalog.yaml"
Size = Annotated[int, BeforeValidator(parse_size)]
BODY_MAX = sized("1B", "1024GiB")  # 0 would be no bound at all to some, and no content to others
BodyMax = Annotated[Size, BODY_MAX]


class Strict(BaseModel):
    """Unknown keys are errors, no value is taken for another type's, and what was read does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class QpsCaps(Strict):
    """Requests a second at each level (L3). ``instance`` null: the guide's narrower reading."""

    instance: int | None = Field(ge=1, le=50_000)
    service: int = Field(ge=1, le=50_000)
    route: int = Field(ge=1, le=50_000)


class Spec(Strict):
    """One kind of instance. Shared: `body_max` is fixed. Prices are in the price books."""

    qps: QpsCaps
    services_max: int = Field(ge=1, le=100_000)
    body_max: BodyMax
    body_max_ceiling: BodyMax
    sla: str = Field(pattern=r"^(0\.[0-9]{1,8}|1)$")
    sample: bool = False


class Region(Strict):
    name: Text
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
    dedicated: dict[Text, Spec] = Field(max_length=1000)
    regions: dict[Text, Region] = Field(max_length=1000)

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
