"""A message of a Caffe net as the layers read it: values by name, defaults filled in, each with its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...compiler.errors import CompileError, Loc
from . import textformat
from .schema import field_types


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A field that the schema does not have: another fork's, or misspelled. It is kept as it was written."""

    name: str
    loc: Loc
    field: textformat.FieldSyntax
    message: str  # the type of the message it stands in
    suggestion: str = ""  # the known field whose name comes nearest

    def __str__(self) -> str:
        hint = f" (is {self.suggestion} meant?)" if self.suggestion else ""
        return f"{self.loc}: {self.message} has no field {self.name}{hint}"


@dataclass(frozen=True, eq=False, slots=True)
class Message:
    """`message["field"]` is what was written, or the schema's default; `"field" in message` tells whether it was.

    An int, float (rounded to float32, as protobuf stores it), bool or str; an enum is its name; a repeated field is a
    tuple; a message that is absent is an empty one, at the place of this. `text` is the whole file, shared by all its
    messages. A name that the schema does not have is a KeyError: a mistake of the program, not of the file.

    `read` notes which fields were asked for, so that whoever uses a message can tell what of it had no say.
    """

    type: str
    loc: Loc
    text: str = field(repr=False)
    values: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    places: Mapping[str, tuple[Loc, ...]] = field(default_factory=dict, repr=False)
    unknown: tuple[UnknownField, ...] = ()
    read: set[str] = field(default_factory=set, repr=False)

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        kind = field_types(self.type)[name]
        found = self.values.get(name)
        if kind.repeated:
            return found or ()
        if found:
            return found[0]
        return Message(kind.message, self.loc, self.text) if kind.message else kind.default

    def __contains__(self, name: object) -> bool:
        self.read.add(str(name))
        return bool(self.values.get(str(name)))

    @property
    def written(self) -> tuple[str, ...]:
        """The names of the known fields that the file gives, in its order."""
        return tuple(self.values)

    def loc_of(self, name: str, index: int = 0) -> Loc:
        """Where the field (its occurrence `index`, from 0) was written; where it was not, the message's own place."""
        places = self.places.get(name, ())
        return places[index] if index < len(places) else self.loc

    def fault(self, sentence: str, field: str | None = None, advice: str = "", index: int = 0) -> CompileError:
        """A complaint placed at a field, or at the message itself. It is returned, to be raised or collected."""
        return CompileError(sentence, self.loc_of(field, index) if field else self.loc, self.text, advice)

    def submessages(self, name: str) -> tuple[Message, ...]:
        """The messages in a field, which is not thereby read; nothing if it holds anything else."""
        return self.values.get(name, ()) if field_types(self.type)[name].message else ()

    def walk(self) -> Iterator[Message]:
        """This message and all in it."""
        yield self
        for name in self.values:
            for message in self.submessages(name):
                yield from message.walk()
