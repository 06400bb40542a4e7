"""Writes a message as a prototxt, such that the reader and protobuf's parsers get the same values from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .message import Message
from .schema import FieldType
from .textformat import FieldSyntax, MessageBlock, Scalar

FIRST = ("name", "type", "bottom", "top")  # the fields that a layer begins with, as Caffe's own files do
ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def show_message(message: Message, *, unknown: bool = False) -> str:
    """The fields of a message, one a line, in the order of the file; with `unknown` also those that the schema lacks.

    They come last, as they are written.
    """
    return "".join(f"{line}\n" for line in lines_of(message, unknown))


def lines_of(message: Message, unknown: bool) -> Iterator[str]:
    known = message.field_types
    first = [name for name in FIRST if message.type == "LayerParameter" and name in message.values]
    for name in dict.fromkeys([*first, *message.written]):
        for value in message.values[name]:
            if isinstance(value, Message):
                yield from block(name, [*lines_of(value, unknown)])
            else:
                yield f"{name}: {show_scalar(value, known[name])}"
    for found in message.unknown if unknown else ():
        yield from written_lines(found.field)


def block(name: str, inner: Sequence[str]) -> Iterator[str]:
    yield from (f"{name} {{", *(f"  {line}" for line in inner), "}") if inner else (f"{name} {{ }}",)


def written_lines(field: FieldSyntax) -> Iterator[str]:
    """A field as its file has it; a list becomes one field for each of its values."""
    for value in field.values:
        if isinstance(value, MessageBlock):
            yield from block(field.name, [line for inner in value.fields for line in written_lines(inner)])
        else:
            yield f"{field.name}: {show_written(value)}"


def show_written(value: Scalar) -> str:
    return show_string(value.text) if value.token_type == "string" else value.text


def show_scalar(value: Any, type: FieldType) -> str:
    """A value as the text of a field of this type."""
    match type.type:
        case "string" | "bytes":
            return show_string(value)
        case "float":
            return show_float32(value)
        case "double":
            return repr(value)
        case "bool":
            return "true" if value else "false"
    return str(value)


def show_float32(value: float) -> str:
    """The shortest decimal that reads back as this float32; `inf` and `nan` as protobuf spells them."""
    return str(np.float32(value))


def show_string(value: str) -> str:
    """A text in double quotes: control characters as three octal digits, all else as it is, in UTF-8."""
    return f'"{"".join(map(show_character, value))}"'


def show_character(c: str, escapes: Mapping[str, str] = ESCAPES) -> str:
    if c in escapes:
        return escapes[c]
    return "".join(f"\\{byte:03o}" for byte in c.encode()) if ord(c) < 32 or 127 <= ord(c) < 160 else c
