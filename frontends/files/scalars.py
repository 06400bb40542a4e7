"""One value of a prototxt: a number, text or name, checked to be what its field takes, as protobuf would."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import numpy as np

from .schema import Kind
from .textformat import Scalar

RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
BOOLS = {"true": True, "True": True, "t": True, "false": False, "False": False, "f": False}
SPECIAL = {"inf", "infinity", "nan"}


class Mistake(Exception):
    """What is wrong with one value: a sentence, and advice."""


def integer(value: Scalar, kind: Kind, name: str) -> int:
    digits = value.text.removeprefix("-")
    try:
        if value.kind != "number":
            raise ValueError
        number = int(digits, 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10)
    except ValueError:
        raise Mistake(f"{name} takes a whole number, not {shown(value)}", in_place_of_number(value)) from None
    number = -number if value.text[0] == "-" else number
    low, high = RANGES[kind.type]
    if not low <= number <= high:
        raise Mistake(f"{name} takes a number from {low} to {high}, not {value.text}", "")
    return number


def real(value: Scalar, kind: Kind, name: str) -> float:
    text = value.text.lower()
    if (value.kind == "number" and "x" not in text) or (value.kind == "word" and text.removeprefix("-") in SPECIAL):
        number = float(text if value.kind == "word" else text.removesuffix("f"))
        if kind.type == "double":
            return number
        with np.errstate(over="ignore"):
            return float(np.float32(number))
    raise Mistake(f"{name} takes a number, not {shown(value)}", in_place_of_number(value))


def boolean(value: Scalar, kind: Kind, name: str) -> bool:
    if value.kind == "word" and value.text in BOOLS:
        return BOOLS[value.text]
    if value.kind == "number" and value.text in ("0", "1"):
        return value.text == "1"
    raise Mistake(
        f"{name} takes true or false, not {shown(value)}", "Remove the quotes." if value.kind == "string" else ""
    )


def string(value: Scalar, kind: Kind, name: str) -> str:
    if value.kind != "string":
        raise Mistake(f"{name} takes a text, not {shown(value)}", f'Put it in quotes: {name}: "{value.text}".')
    return value.text


def enum(value: Scalar, kind: Kind, name: str) -> str:
    if value.kind == "word" and value.text in kind.numbers:
        return value.text
    if value.kind == "number":
        for known, number in kind.numbers.items():
            if value.text == str(number):
                return known
    near = difflib.get_close_matches(value.text.upper(), kind.numbers, 1)
    choices = ", ".join(kind.numbers)
    advice = f"Write {name}: {near[0]}." if near else f"It may be {choices}." if len(kind.numbers) < 10 else ""
    raise Mistake(f"{name} cannot be {shown(value)}", advice)


def shown(value: Scalar) -> str:
    text = value.text if len(value.text) < 40 else value.text[:37] + "..."
    return f'"{text}"' if value.kind == "string" else text


def in_place_of_number(value: Scalar) -> str:
    if value.kind == "word":
        return "Is this file a template with places to fill in?"
    return "Remove the quotes." if value.kind == "string" and value.text.strip("-").replace(".", "").isdigit() else ""


READERS: dict[str, Callable[[Scalar, Kind, str], Any]] = {
    "int32": integer,
    "uint32": integer,
    "int64": integer,
    "uint64": integer,
    "float": real,
    "double": real,
    "bool": boolean,
    "string": string,
    "bytes": string,
    "enum": enum,
}
ARTICLES = dict.fromkeys(RANGES, "a whole number") | {
    "float": "a number",
    "double": "a number",
    "bool": "true or false",
    "string": "a text",
    "bytes": "a text",
    "enum": "a name",
}
