"""The types that an operator's attributes may have, and the check of a value against its type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .limits import MAX_INTEGER

Ints = tuple[int, ...]  # one number per axis; if all are equal, a single number, printed without brackets
Coerce = Callable[[Any], Any]  # returns the value as it is stored; TypeError if it has another type


@dataclass(frozen=True, slots=True)
class AttributeType:
    """A description of the type for messages, and the function that checks and converts a value."""

    description: str
    coerce: Coerce


def coerce_exact(type_: type) -> Coerce:
    """A check for exactly this type: True is not an int."""

    def coerce(value: Any) -> Any:
        if type(value) is not type_:
            raise TypeError
        return value

    return coerce


def coerce_integer(value: Any) -> int:
    """OverflowError for a number that Caffe could not keep in an int."""
    number: int = coerce_exact(int)(value)
    if abs(number) > MAX_INTEGER:
        raise OverflowError
    return number


def coerce_float(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError
    return float(value)


def coerce_list(element: Coerce) -> Coerce:
    """A check for a list or tuple of such elements, or a single element; stored as a tuple."""

    def coerce(value: Any) -> tuple[Any, ...]:
        return tuple(map(element, value if isinstance(value, list | tuple) else (value,)))

    return coerce


def coerce_ints(value: Any) -> Ints:
    """Integers, one for each axis; if all are equal, only one is stored."""
    numbers: Ints = coerce_list(coerce_integer)(value)
    return numbers[:1] if len(set(numbers)) == 1 else numbers


INTEGERS, NUMBERS = "a whole number or a list of them", "a number or a list of them"
ATTRIBUTE_TYPES: dict[str, AttributeType] = {  # by annotation; modules with other attribute types add them
    "int": AttributeType("a whole number", coerce_integer),
    "float": AttributeType("a number", coerce_float),
    "bool": AttributeType("a bool", coerce_exact(bool)),
    "str": AttributeType("a str", coerce_exact(str)),
    "Ints": AttributeType(INTEGERS, coerce_ints),
    "tuple[int, ...]": AttributeType(INTEGERS, coerce_list(coerce_integer)),
    "tuple[float, ...]": AttributeType(NUMBERS, coerce_list(coerce_float)),
}


def attribute_type(annotation: str) -> tuple[AttributeType, bool]:
    """The type for an annotation, and whether None is allowed. KeyError if the annotation is unknown."""
    return ATTRIBUTE_TYPES[annotation.removesuffix(" | None")], annotation.endswith(" | None")


def require_attribute_type(where: str, annotation: str) -> None:
    """TypeError if the annotation is not an attribute type."""
    try:
        attribute_type(annotation)
    except KeyError:
        known = ", ".join(ATTRIBUTE_TYPES)
        raise TypeError(f"{where}: no attribute can be {annotation}; the types are {known}, each with | None") from None


def coerce_attribute(name: str, annotation: str, value: Any) -> Any:
    """The value, checked and converted to the annotated type. ValueError if it has another type."""
    wanted, is_optional = attribute_type(annotation)
    if value is None and is_optional:
        return None
    try:
        return wanted.coerce(value)
    except TypeError:
        raise ValueError(f"{name} is {wanted.description}, not {show_value(value)}") from None
    except OverflowError:
        raise ValueError(f"{name} is too large: whole numbers are up to {MAX_INTEGER}, Caffe's int") from None


def show_value(value: Any) -> str:
    """A value for a message, cut short where a hostile text made it long."""
    if isinstance(value, int) and value.bit_length() > 200:
        return "a number of that many digits"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def annotation_of(field_type: Any) -> str:
    """The annotation of a dataclass field as text, with or without postponed evaluation of annotations."""
    return field_type.__name__ if type(field_type) is type else str(field_type)


def is_same_attribute(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return repr(a) == repr(b)  # NaN equals itself, and -0.0 differs from 0.0
    return bool(a == b)
