"""Strict conversion between frozen dataclasses and JSON: untrusted text becomes the declared types, or an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from .errors import ArtifactError


def encode(value: Any) -> str:
    """The canonical JSON of a value: equal values give equal text. ValueError for NaN and infinities."""
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=asdict)


def parse(text: str) -> Any:
    """Parse JSON. ArtifactError if the text is not valid JSON."""
    try:
        return json.loads(text, parse_constant=reject_constant)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"damaged JSON ({error})") from None


def reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def decode(declared: Any, value: Any, where: str) -> Any:
    """Convert parsed JSON to an instance of `declared`: a dataclass, tuple, dict, union or scalar type.

    ArtifactError, with the path `where`, for an unknown key, a missing one that has no default, or a wrong type; int is
    accepted as float. So a field that is added later, with a default, does not make earlier files unreadable.
    """
    origin, parameters = get_origin(declared), get_args(declared)
    if declared is Any:
        return value
    if origin in (UnionType, Union):
        return decode_union(parameters, value, where)
    if origin is tuple and isinstance(value, list):
        if parameters[-1] is Ellipsis:
            return tuple(decode(parameters[0], item, where) for item in value)
        if len(parameters) == len(value):
            return tuple(decode(p, item, where) for p, item in zip(parameters, value, strict=True))
    if origin is dict and isinstance(value, dict):
        return {key: decode(parameters[1], item, f"{where}.{key}") for key, item in value.items()}
    if is_dataclass(declared) and isinstance(value, dict):
        hints = hints_of(declared)  # type: ignore[arg-type]
        optional = {f.name for f in fields(declared) if f.default is not MISSING}
        if set(hints) - optional <= set(value) <= set(hints):
            hints = {name: hint for name, hint in hints.items() if name in value}
            return declared(**{name: decode(hint, value[name], f"{where}.{name}") for name, hint in hints.items()})  # type: ignore[operator]
        raise ArtifactError(f"{where} has the wrong keys: {', '.join(sorted(set(value) ^ set(hints)))[:200]}")
    if type(value) is declared:
        return value
    if declared is float and type(value) is int:
        return float(value)
    raise ArtifactError(
        f"{where} is {str(value)[:80]!r}, which is not of type {getattr(declared, '__name__', declared)}"
    )


def decode_union(members: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in members:
        return None
    for declared in members:
        try:
            return decode(declared, value, where)
        except ArtifactError as error:
            wrong = error
    raise wrong


@cache
def hints_of(declared: Any) -> Mapping[str, Any]:
    hints = get_type_hints(declared)
    return {f.name: hints[f.name] for f in fields(declared)}
