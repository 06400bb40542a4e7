"""A message put together from the fields of others; each field keeps the place where it was written."""

from __future__ import annotations

from typing import Any

from ...compiler.errors import Loc
from ..files.message import Message
from ..files.schema import field_types


class MessageBuilder:
    """A new message of some type, as it grows. It stands at `like`'s place, in the same text."""

    def __init__(self, type: str, like: Message) -> None:
        self.type, self.like = type, like
        self.values: dict[str, tuple[Any, ...]] = {}
        self.places: dict[str, tuple[Loc, ...]] = {}
        self.unknown = like.unknown

    def copy(self, source: Message, field: str, name: str | None = None) -> None:
        """All that `source` has in a field, under the same name or another one."""
        if field in source:
            places = tuple(source.loc_of(field, i) for i in range(len(source.values[field])))
            self.add(name or field, source.values[field], places)

    def add(self, name: str, values: tuple[Any, ...], places: tuple[Loc, ...] = ()) -> None:
        """More values of a field. One that holds a single value takes the last."""
        places = places or (self.like.loc,) * len(values)
        if field_types(self.type)[name].repeated:
            values, places = self.values.get(name, ()) + values, self.places.get(name, ()) + places
        else:
            values, places = values[-1:], places[-1:]
        self.values[name], self.places[name] = values, places

    def build(self) -> Message:
        return Message(self.type, self.like.loc, self.like.text, self.values, self.places, self.unknown)


def replace_fields(message: Message, **fields: tuple[Any, ...]) -> Message:
    """The message with some fields' values replaced; an empty tuple takes a field out."""
    draft = MessageBuilder(message.type, message)
    for name in message.written:
        if name not in fields:
            draft.copy(message, name)
    for name, values in fields.items():
        if values:
            places = tuple(message.loc_of(name, i) for i in range(len(values)))
            draft.add(name, values, places)
    return draft.build()
