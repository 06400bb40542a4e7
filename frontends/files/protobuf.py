"""A message of a prototxt as protobuf's own, for binary files: without what cortado numbers itself.

By number, forks' fields contradict each other, so that no program could read a file with those.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from google.protobuf.message import Message as Protobuf

from .message import Message
from .scalars import FORKS_NUMBERS
from .schema import descriptor, field_types, message_class


def to_protobuf(message: Message, left_out: Collection[str] = ()) -> Protobuf:
    """The message with all fields, and values of enums, for which BVLC's Caffe or the SSD fork have numbers.

    `left_out` are fields of the message itself that are not to be in it.
    """
    made = message_class(message.type)()
    copy_fields(message, made, left_out)
    return made


def copy_fields(message: Message, made: Any, left_out: Collection[str] = ()) -> None:
    for name, values in message.values.items():
        if name in left_out or not has_number(message, name):
            continue
        kind = field_types(message.type)[name]
        for value in values:
            if kind.message:
                inner = getattr(made, name).add() if kind.repeated else getattr(made, name)
                inner.SetInParent()
                copy_fields(value, inner)
                continue
            number = kind.numbers.get(value, FORKS_NUMBERS) if kind.type == "enum" else value
            if kind.type == "enum" and number >= FORKS_NUMBERS:
                continue
            if kind.repeated:
                getattr(made, name).append(number)
            else:
                setattr(made, name, number)


def has_own_numbers(message: Message) -> bool:
    """True if a field or a value, at any depth, is left out by `to_protobuf`."""
    for part in message.walk():
        for name, values in part.values.items():
            if not has_number(part, name):
                return True
            kind = field_types(part.type)[name]
            if kind.type == "enum" and any(kind.numbers.get(v, FORKS_NUMBERS) >= FORKS_NUMBERS for v in values):
                return True
    return False


def has_number(message: Message, name: str) -> bool:
    """True for a field that has a number in BVLC's Caffe or the SSD fork, and is read in their sense."""
    return field_number(message, name) < FORKS_NUMBERS and not message.field_types[name].conflict


def field_number(message: Message, name: str) -> int:
    """The number of a field in cortado's caffe.proto; FORKS_NUMBERS of one that only a fork's own has."""
    try:
        return descriptor(message.type).fields_by_name[name].number
    except KeyError:
        return FORKS_NUMBERS
