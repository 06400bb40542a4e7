"""The types that an operator's attributes may have, and the check of a value against its type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .limits import MAX_INTEGER

Ints = tuple[int, ...]  # one number stands for every axis, and is printed as one
Coerce = Callable[[Any], Any]  # the value as it is kept; TypeError if it is none of the type


@dataclass(frozen=True, slots=True)
class AttributeType:
    """What messages call a value of the type, and the function that checks one."""

    description: str
    coerce: Coerce


def coerce_exact(type_: type) -> Coerce:
    """A value of that very type: True is no whole number."""

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
    """A list or tuple of such elements, or one element alone; kept as a tuple."""

    def coerce(value: Any) -> tuple[Any, ...]:
        return tuple(map(element, value if isinstance(value, list | tuple) else (value,)))

    return coerce


def coerce_ints(value: Any) -> Ints:
    """Whole numbers, one for each axis; if all are equal, one of them."""
    numbers: Ints = coerce_list(coerce_integer)(value)
    return numbers[:1] if len(set(numbers)) == 1 else numbers


INTEGERS, NUMBERS = "a whole number or a list of them", "a number or a list of them"
ATTRIBUTE_TYPES: dict[str, AttributeType] = {  # by annotation; a module whose operator has another adds it
    "int": AttributeType("a whole number", coerce_integer),
    "float": AttributeType("a number", coerce_float),
    "bool": AttributeType("a bool", coerce_exact(bool)),
    "str": AttributeType("a str", coerce_exact(str)),
    "Ints": AttributeType(INTEGERS, coerce_ints),
    "tuple[int, ...]": AttributeType(INTEGERS, coerce_list(coerce_integer)),
    "tuple[float, ...]": AttributeType(NUMBERS, coerce_list(coerce_float)),
}


def attribute_type(annotation: str) -> tuple[AttributeType, bool]:
    """The type that an annotation names, and whether None is allowed too. KeyError if it names none."""
    return ATTRIBUTE_TYPES[annotation.removesuffix(" | None")], annotation.endswith(" | None")


def require_attribute_type(where: str, annotation: str) -> None:
    """TypeError unless an annotation names an attribute type."""
    try:
        attribute_type(annotation)
    except KeyError:
        known = ", ".join(ATTRIBUTE_TYPES)
        raise TypeError(f"{where}: no attribute can be {annotation}; the types are {known}, each with | None") from None


def coerce_attribute(name: str, annotation: str, value: Any) -> Any:
    """A value as the type that its annotation names. ValueError if it is something else."""
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
    """The annotation of a dataclass's field as text, whether its module postpones annotations or not."""
    return field_type.__name__ if type(field_type) is type else str(field_type)


def is_same_attribute(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return repr(a) == repr(b)  # NaN is itself, and minus zero is not zero
    return bool(a == b)
