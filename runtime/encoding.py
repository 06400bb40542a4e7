"""Frozen dataclasses to JSON text and back, strictly: a stranger's text becomes the declared types, or an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from .plan import ArtifactError


def encode(value: Any) -> str:
    """The same value gives the same text. ValueError for NaN and infinities, which JSON lacks."""
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=asdict)


def parse(text: str) -> Any:
    """Any JSON. ArtifactError if it is none."""
    try:
        return json.loads(text, parse_constant=reject_constant)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"damaged JSON ({error})") from None


def reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def decode(kind: Any, value: Any, where: str) -> Any:
    """`value`, parsed JSON, as an instance of `kind`: a dataclass, tuple, dict, union or scalar type.

    ArtifactError, naming the path `where`, for anything that is not exactly that: a missing or unknown key, a wrong
    type.
    """
    origin, parameters = get_origin(kind), get_args(kind)
    if kind is Any:
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
    if is_dataclass(kind) and isinstance(value, dict):
        hints = hints_of(kind)  # type: ignore[arg-type]
        if set(value) == set(hints):
            return kind(**{name: decode(hint, value[name], f"{where}.{name}") for name, hint in hints.items()})  # type: ignore[operator]
        raise ArtifactError(f"{where} has the wrong keys: {', '.join(sorted(set(value) ^ set(hints)))[:200]}")
    if type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return float(value)
    raise ArtifactError(f"{where} is {str(value)[:80]!r}, which is not of type {getattr(kind, '__name__', kind)}")


def decode_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        try:
            return decode(kind, value, where)
        except ArtifactError as error:
            wrong = error
    raise wrong


@cache
def hints_of(kind: Any) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind)}
