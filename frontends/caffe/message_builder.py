"""Builds messages from fields of other messages; each field keeps its source location."""

from __future__ import annotations

from typing import Any

from ...compiler.errors import Loc
from ..files.message import Message


class MessageBuilder:
    """Collects the fields of a new message, which has the location and text of `like`."""

    def __init__(self, type: str, like: Message) -> None:
        self.type, self.like = type, like
        self.values: dict[str, tuple[Any, ...]] = {}
        self.places: dict[str, tuple[Loc, ...]] = {}
        self.unknown = like.unknown

    def copy(self, source: Message, field: str, name: str | None = None) -> None:
        """Copy all values of a field of `source`, under the same name or `name`."""
        if field in source.schema.given(source.type) and not source.is_set(field):
            return  # `build` adds it
        if field in source:
            places = tuple(source.loc_of(field, i) for i in range(len(source.values[field])))
            self.add(name or field, source.values[field], places)

    def add(self, name: str, values: tuple[Any, ...], places: tuple[Loc, ...] = ()) -> None:
        """Append values to a repeated field; a singular field is set to the last value."""
        places = places or (self.like.loc,) * len(values)
        if self.like.schema.field_types(self.type)[name].repeated:
            values, places = self.values.get(name, ()) + values, self.places.get(name, ()) + places
        else:
            values, places = values[-1:], places[-1:]
        self.values[name], self.places[name] = values, places

    def build(self) -> Message:
        """The finished message."""
        schema = self.like.schema
        values = {**schema.given(self.type), **self.values}
        return Message(self.type, self.like.loc, self.like.text, values, self.places, self.unknown, schema)


def replace_fields(message: Message, **fields: tuple[Any, ...]) -> Message:
    """A copy of the message with the values of some fields replaced; an empty tuple removes a field."""
    draft = MessageBuilder(message.type, message)
    for name in message.written:
        if name not in fields:
            draft.copy(message, name)
    for name, values in fields.items():
        if values:
            places = tuple(message.loc_of(name, i) for i in range(len(values)))
            draft.add(name, values, places)
    return draft.build()
