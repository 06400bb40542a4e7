"""Converts a scalar of a prototxt to the type of its field, with protobuf's rules."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from ...compiler.limits import MAX_INTEGER
from ...compiler.suggestion import suggestion
from .schema import FieldType
from .textformat import Scalar

RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, MAX_INTEGER),  # Caffe keeps them in ints, and computes with those
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
FORKS_NUMBERS = 7000001  # from here on our own, in caffe.proto: by number, forks' values contradict each other
BOOLS = {"true": True, "True": True, "t": True, "false": False, "False": False, "f": False}
V1_TYPE = "caffe.V1LayerParameter.LayerType"
SPECIAL_FLOATS = {"inf", "infinity", "nan"}


class BadValue(Exception):
    """A value does not fit its field. Arguments: a sentence, and advice."""


def read_integer(value: Scalar, field_type: FieldType, name: str) -> int:
    """An integer in decimal, octal or hex, in the range of its type."""
    digits = value.text.removeprefix("-")
    try:
        if value.token_type != "number":
            raise ValueError
        number = int(digits, 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10)
    except ValueError:
        raise BadValue(f"{name} takes a whole number, not {quote(value)}", number_advice(value)) from None
    number = -number if value.text[0] == "-" else number
    low, high = RANGES[field_type.type]
    if not low <= number <= high:
        raise BadValue(f"{name} takes a number from {low} to {high}, not {value.text}", "")
    return number


def read_float(value: Scalar, field_type: FieldType, name: str) -> float:
    """A float, rounded to float32 unless the field is a double."""
    text = value.text.lower()
    if (value.token_type == "number" and "x" not in text) or (
        value.token_type == "word" and text.removeprefix("-") in SPECIAL_FLOATS
    ):
        number = float(text if value.token_type == "word" else text.removesuffix("f"))
        if field_type.type == "double":
            return number
        with np.errstate(over="ignore"):
            return float(np.float32(number))
    raise BadValue(f"{name} takes a number, not {quote(value)}", number_advice(value))


def read_bool(value: Scalar, field_type: FieldType, name: str) -> bool:
    """True for `true`, `t` or 1, False for `false`, `f` or 0."""
    if value.token_type == "word" and value.text in BOOLS:
        return BOOLS[value.text]
    if value.token_type == "number" and value.text in ("0", "1"):
        return value.text == "1"
    raise BadValue(
        f"{name} takes true or false, not {quote(value)}", "Remove the quotes." if value.token_type == "string" else ""
    )


def read_string(value: Scalar, field_type: FieldType, name: str) -> str:
    """The value of a quoted string."""
    if value.token_type != "string":
        raise BadValue(f"{name} takes a text, not {quote(value)}", f'Put it in quotes: {name}: "{value.text}".')
    return value.text


def read_enum(value: Scalar, field_type: FieldType, name: str) -> str:
    """The name of an enum value, given by name or number.

    An unknown type of a V1 layer is returned as it is written: like an unknown type of a later file, it is reported
    when the layer is imported, by whoever knows the types of today.
    """
    if value.token_type == "word" and value.text in field_type.numbers:
        return value.text
    if value.token_type == "number":
        with suppress(BadValue):
            number = read_integer(value, FieldType("int32", False, False, 0), name)
            for known in (known for known, its in field_type.numbers.items() if its == number < FORKS_NUMBERS):
                return known
    if field_type.enum == V1_TYPE:
        return value.text
    close = suggestion(value.text, field_type.numbers)
    choices = f"It may be {', '.join(field_type.numbers)}." if len(field_type.numbers) < 10 else ""
    meant = "" if close.casefold() == value.text.casefold() else f"Did you mean {close}? "
    raise BadValue(f"{name} cannot be {quote(value)}", f"{meant}Write {name}: {close}." if close else choices)


def quote(value: Scalar) -> str:
    """The value as error messages show it, shortened to 40 characters."""
    text = value.text if len(value.text) < 40 else value.text[:37] + "..."
    return f'"{text}"' if value.token_type == "string" else text


def number_advice(value: Scalar) -> str:
    """Advice for a value that should be a number."""
    if value.token_type == "word":
        return "Is this file a template with places to fill in?"
    return (
        "Remove the quotes."
        if value.token_type == "string" and value.text.strip("-").replace(".", "").isdigit()
        else ""
    )


READERS: dict[str, Callable[[Scalar, FieldType, str], Any]] = {
    "int32": read_integer,
    "uint32": read_integer,
    "int64": read_integer,
    "uint64": read_integer,
    "float": read_float,
    "double": read_float,
    "bool": read_bool,
    "string": read_string,
    "bytes": read_string,
    "enum": read_enum,
}
DESCRIPTIONS = dict.fromkeys(RANGES, "a whole number") | {
    "float": "a number",
    "double": "a number",
    "bool": "true or false",
    "string": "a text",
    "bytes": "a text",
    "enum": "a name",
}
