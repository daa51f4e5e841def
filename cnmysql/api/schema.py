"""From a model to the structural schema a CRD needs.

Not pydantic's own JSON schema: that has `$ref`, `title` and anyOf-null, which the API server refuses.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from cnmysql.api.base import Default, Json, Limits, Model, Schema

_SCALARS: Final[Mapping[object, str]] = {str: "string", int: "integer", bool: "boolean"}


def of_model(model: type[Model]) -> Json:
    """The schema of an object of this type, with descriptions and stored defaults."""
    properties = {alias_of(field): of_field(field) for field in model.model_fields.values()}
    node: Json = {"type": "object", "description": first_paragraph(model.__doc__), "properties": properties}
    required = [alias_of(field) for field in model.model_fields.values() if field.is_required()]
    if required:
        node["required"] = required
    return node


def alias_of(field: FieldInfo) -> str:
    """Name of a field on the wire."""
    assert field.alias is not None
    return field.alias


def of_field(field: FieldInfo) -> Json:
    """The schema of one field."""
    node = {**of_type(field.annotation), **_of_metadata(field.metadata, field.annotation)}
    node["description"] = field.description
    default = _stored_default(field)
    if default is not None:
        node["default"] = default
    return node


def of_type(annotation: Any) -> Json:
    """The schema of a Python type. Raises TypeError for one that has none."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return {**of_type(arguments[0]), **_of_metadata(arguments[1:], arguments[0])}
    if origin in (Union, types.UnionType):
        (inner,) = (a for a in arguments if a is not type(None))
        return of_type(inner)
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": of_type(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": {} if arguments[1] is Any else of_type(arguments[1])}
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return of_model(annotation)
    if annotation in _SCALARS:
        return {"type": _SCALARS[annotation]}
    raise TypeError(f"no schema for {annotation!r}")


def _of_metadata(metadata: Iterable[Any], annotation: Any) -> Json:
    node: Json = {}
    for mark in metadata:
        if isinstance(mark, Schema):
            node = {"additionalProperties": None, **node, **mark.schema}
        elif isinstance(mark, Limits):
            node.update(_limits(mark, of_type(annotation)))
        elif isinstance(mark, Ge):
            node["minimum"] = mark.ge
        elif isinstance(mark, Le):
            node["maximum"] = mark.le
    return node


def _limits(limits: Limits, base: Json) -> Json:
    own = {
        "maxLength": limits.max_length,
        "minLength": limits.min_length,
        "pattern": limits.pattern,
        "format": limits.format,
        "maxItems": limits.max_items,
        "minItems": limits.min_items,
        "maxProperties": limits.max_properties,
        "x-kubernetes-list-type": limits.list_type,
        "x-kubernetes-list-map-keys": [limits.map_key] if limits.map_key else None,
    }
    item = {
        "maxLength": limits.item_max_length,
        "minLength": limits.item_min_length,
        "pattern": limits.item_pattern,
    }
    node = _present(own)
    key = "items" if base["type"] == "array" else "additionalProperties"
    if _present(item):
        node[key] = {**base[key], **_present(item)}
    return node


def _present(node: Json) -> Json:
    return {k: v for k, v in node.items() if v is not None}


def _stored_default(field: FieldInfo) -> Any:
    for mark in field.metadata:
        if isinstance(mark, Default):
            return mark.value
    unset = (PydanticUndefined, None, "")
    return field.default if field.default not in unset else None


def first_paragraph(text: str | None) -> str:
    """The summary of a docstring, on one line."""
    return " ".join((text or "").strip().split("\n\n")[0].split())


def without_defaults(node: Any) -> Any:
    """The schema without defaults: a status holds what somebody wrote, so that a change has an author."""
    if isinstance(node, Mapping):
        return {
            k: {name: without_defaults(field) for name, field in v.items()}
            if k == "properties"
            else without_defaults(v)
            for k, v in node.items()
            if k != "default"
        }
    return node


def without_nulls(node: Any) -> Any:
    """The schema without keys that a later annotation took away."""
    if isinstance(node, Mapping):
        return {k: without_nulls(v) for k, v in node.items() if v is not None}
    if isinstance(node, list | tuple):
        return [without_nulls(v) for v in node]
    return node
