"""What every model of a stored object has in common.

Attributes are snake_case, the wire is camelCase. Reading is tolerant: unknown fields are ignored (a newer operator
may have written them) and null means absent. How strict the API server is with what people write is decided by the
schema generated from these models, not by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

Json = dict[str, Any]


class Model(BaseModel):
    """Base of the models: frozen, camelCase aliases, tolerant of unknown fields and nulls."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: object) -> object:
        if isinstance(value, Mapping):
            return {k: v for k, v in value.items() if v is not None}
        return value


@dataclass(frozen=True, eq=False)
class Schema:
    """Annotation of a field: its OpenAPI schema where the Python type cannot tell (core/v1 types, quantities)."""

    schema: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Default:
    """Annotation of a field: the default the API server stores. Scalar defaults of the model need none."""

    value: Any


@dataclass(frozen=True, eq=False)
class Limits:
    """Annotation of a field: bounds of strings, lists and maps, which also bound the cost of its rules."""

    max_length: int | None = None
    min_length: int | None = None
    max_items: int | None = None
    min_items: int | None = None
    max_properties: int | None = None
    pattern: str | None = None
    item_max_length: int | None = None
    item_min_length: int | None = None
    item_pattern: str | None = None
    list_type: str | None = None
    map_key: str | None = None
    format: str | None = None
