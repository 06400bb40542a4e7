"""A protobuf message parsed from a prototxt: field values by name, with defaults and source locations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ...compiler.errors import CompileError, Loc
from . import textformat
from .schema import CAFFE, CONFLICT, FieldType, FieldTypes

CONFLICT_ADVICE = "Remove it if the layer works without; else only that fork can compute this layer."
Meaning = TypeVar("Meaning")


class FieldConflict(CompileError):
    """A layer reads a field that means something else in the caffe.proto that was given."""


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A field that the schema lacks, a fork's or a misspelled one, with its syntax tree."""

    name: str
    loc: Loc
    field: textformat.FieldSyntax
    message: str  # the type of the enclosing message
    suggestion: str = ""  # the known field that can only be meant

    def __str__(self) -> str:
        hint = f" (is {self.suggestion} meant?)" if self.suggestion else ""
        return f"{self.loc}: {self.message} has no field {self.name}{hint}"


@dataclass(frozen=True, eq=False, slots=True)
class Message:
    """`message["field"]` is the value in the file or the schema's default; `"field" in message`: the file sets it.

    Values are int, float (rounded to float32, as protobuf stores it), bool or str; an enum is its name, a repeated
    field a tuple, an absent message an empty one at the location of this. `text` is the whole file, shared by all its
    messages. A name that the schema lacks raises KeyError: a bug in the program, not a fault of the file.

    A message records which of its fields were read: the importer calls `reset_reads` first and asks `was_read`
    afterwards, to find fields that had no effect (unused_fields.py). Only `choice` reads an enum: `message["field"]`
    gives the name of its value and records nothing, since code that compares it with one name reads no other.
    """

    type: str
    loc: Loc
    text: str = field(repr=False)
    values: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    places: Mapping[str, tuple[Loc, ...]] = field(default_factory=dict, repr=False)
    unknown: tuple[UnknownField, ...] = ()
    schema: FieldTypes = field(default=CAFFE, repr=False)
    _reads: set[str] = field(default_factory=set, init=False, repr=False)

    @property
    def field_types(self) -> Mapping[str, FieldType]:
        """The types of all fields that it may have, by name."""
        return self.schema.field_types(self.type)

    def __getitem__(self, name: str) -> Any:
        field_type = self.field_types[name]
        if field_type.type != "enum":
            self._reads.add(name)
        found = self.values.get(name)
        self.refuse_conflict(name, field_type)
        if field_type.repeated:
            return found or ()
        if found:
            return found[0]
        return self.empty(field_type.message) if field_type.message else field_type.default

    def refuse_conflict(self, name: str, field_type: FieldType) -> None:
        """Raise FieldConflict for a field that a fork's caffe.proto has in another sense than cortado's layers."""
        found = self.values.get(name, ())
        is_read = field_type.is_list and len(found) == 1
        if field_type.conflict and ((found and not is_read) or (not found and field_type.default is CONFLICT)):
            error = self.fault(f"{name} of {self.type} {field_type.conflict}", name, CONFLICT_ADVICE)
            raise FieldConflict(error.message, error.loc, error.text, error.advice)

    def empty(self, type: str) -> Message:
        """A message of this type without fields, at this one's place."""
        return Message(type, self.loc, self.text, self.schema.given(type), schema=self.schema)

    def __contains__(self, name: object) -> bool:
        field_type = self.field_types.get(str(name))
        if field_type is None or field_type.type != "enum":
            self._reads.add(str(name))
        return bool(self.values.get(str(name)))

    def is_set(self, name: str) -> bool:
        """True if the file itself sets the field, C++'s has_x(); one with a fork's default is `in` the message, too."""
        return name in self and bool(self.places.get(name))

    def choice(self, name: str, meanings: Mapping[str, Meaning], label: str) -> Meaning:
        """What the value of an enum means to the caller, who lists all values that it handles.

        CompileError for any other value of the schema; it starts with `label`, the layer in the words of messages.
        """
        field_type = self.field_types[name]
        self.refuse_conflict(name, field_type)
        if unknown := meanings.keys() - field_type.numbers.keys():
            raise KeyError(f"{name} of {self.type} is never {', '.join(sorted(unknown))}")
        self._reads.add(name)
        value = self.values.get(name, (field_type.default,))[0]
        if value not in meanings:
            *others, last = meanings
            advice = f"It computes {', '.join(others)}{' and ' if others else ''}{last}."
            raise self.fault(f"{label}: cortado does not compute {name}: {value}", name, advice)
        return meanings[value]

    def rebuilt(self, values: Mapping[str, tuple[Any, ...]], schema: FieldTypes | None = None) -> Message:
        """A message at this one's place, and read as this one, with other fields, of another schema if it is given."""
        places = {name: found for name, found in self.places.items() if name in values}
        made = Message(self.type, self.loc, self.text, dict(values), places, self.unknown, schema or self.schema)
        made._reads.update(self._reads)
        return made

    def was_read(self, name: str) -> bool:
        """True if the field was read since the last `reset_reads`."""
        return name in self._reads

    def reset_reads(self) -> None:
        """Mark all fields of this message, and of nested ones, as not read."""
        for message in self.walk():
            message._reads.clear()

    @property
    def written(self) -> tuple[str, ...]:
        """The names of the known fields that the file sets, in file order."""
        return tuple(self.values)

    def loc_of(self, name: str, index: int = 0) -> Loc:
        """The location of the field's occurrence `index` (from 0), or of the message if the file does not set it."""
        places = self.places.get(name, ())
        return places[index] if index < len(places) else self.loc

    def fault(self, sentence: str, field: str | None = None, advice: str = "", index: int = 0) -> CompileError:
        """An error located at a field, or at the message itself. It is returned, for the caller to raise or collect."""
        return CompileError(sentence, self.loc_of(field, index) if field else self.loc, self.text, advice)

    def submessages(self, name: str) -> tuple[Message, ...]:
        """The messages in a field, without marking it as read; () for a field of another type."""
        return self.values.get(name, ()) if self.field_types[name].message else ()

    def walk(self) -> Iterator[Message]:
        """Yield this message and all messages nested in it."""
        yield self
        for name in self.values:
            for message in self.submessages(name):
                yield from message.walk()
